"""Stacked recurrent layers, sequence dropout, pooling over time, and instance normalization."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from primer.models.layers.packing import Padded, recur, unpack
from primer.models.layers.validation import check_choice

State = list[Tensor | tuple[Tensor, Tensor]]
"""The state of each layer after the last step: ``(directions, batch, hidden)``, and for an LSTM also the cell state."""

POOLINGS = ("last", "mean", "max", "attention")

EPSILON = 1e-5
"""Added to the variance of a window, relative to that of the training part, because a constant window has none."""


class Stack(nn.Module):
    """Stacks recurrent layers, each of which reads the states of the layer below.

    Args:
        layers: single-layer modules with ``batch_first=True``.
        dropout: applied between layers.
    """

    def __init__(self, layers: list[nn.RNNBase], dropout: nn.Module) -> None:
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(layers), dropout

    def forward(
        self, steps: Tensor | PackedSequence | Padded, state: State | None = None
    ) -> tuple[Tensor | PackedSequence | Padded, State]:
        """Returns the states of the last layer at each step, and the final states of all layers."""
        final: State = []
        for k, layer in enumerate(self.layers):
            steps = self.dropout(steps) if k else steps
            steps, last = recur(layer, steps, None if state is None else state[k])
            final.append(last)
        return steps, final


class SequenceDropout(nn.Module):
    """Dropout for sequences.

    Args:
        rate: dropout probability; the remaining values are scaled by ``1 / (1 - rate)``.
        locked: whether all steps of a sequence share one mask (Gal and Ghahramani 2016).
    """

    def __init__(self, rate: float, locked: bool = False) -> None:
        super().__init__()
        self.rate, self.locked = rate, locked

    def forward(self, steps: Tensor | PackedSequence | Padded) -> Tensor | PackedSequence | Padded:
        """Accepts ``(batch, time, features)``, ``(batch, features)``, or packed sequences."""
        if not self.training or not self.rate:
            return steps
        if isinstance(steps, PackedSequence):
            return steps._replace(data=steps.data * self._mask(steps.data, steps.batch_sizes))
        assert isinstance(steps, Tensor)  # Exported models are not in training mode.
        return steps * self._mask(steps)

    def _mask(self, values: Tensor, batch_sizes: Tensor | None = None) -> Tensor:
        keep = 1 - self.rate
        if not self.locked or (values.ndim == 2 and batch_sizes is None):
            return torch.empty_like(values).bernoulli_(keep).div_(keep)
        if batch_sizes is None:
            return values.new_empty(len(values), 1, values.shape[-1]).bernoulli_(keep).div_(keep)
        mask = values.new_empty(int(batch_sizes[0]), values.shape[-1]).bernoulli_(keep).div_(keep)
        # A packed sequence stores all values of one time step together, the longest sequence first.
        rows = torch.cat([torch.arange(size) for size in batch_sizes.tolist()])
        return mask[rows.to(values.device)]


class Pooling(nn.Module):
    """Reduces the states of a sequence to one vector.

    Args:
        name: ``last``, the final states: after the last real step and, for the backward direction, after the first;
            ``mean`` or ``max`` over the real steps; or ``attention``, a mean with learned weights (Yang et al. 2016,
            equations 5 to 7).
        features: size of the state at each step.
        directions: 2 if the recurrent layers are bidirectional, else 1.

    Raises:
        InputError: if the name is unknown.
    """

    def __init__(self, name: str, features: int, directions: int) -> None:
        super().__init__()
        check_choice("pooling", name, POOLINGS)
        self.name, self.directions = name, directions
        self.energy = None
        if name == "attention":
            self.energy = nn.Sequential(nn.Linear(features, features), nn.Tanh(), nn.Linear(features, 1, bias=False))

    def forward(self, states: Tensor | PackedSequence | Padded, final: State) -> Float[Tensor, "batch features"]:
        if self.name == "last":
            hidden = final[-1][0] if isinstance(final[-1], tuple) else final[-1]
            return torch.cat(tuple(hidden[-self.directions :]), dim=-1)
        steps, real = unpack(states)
        if self.name == "max":
            return steps.masked_fill(~real[..., None], float("-inf")).amax(1)
        scores = torch.zeros_like(steps[..., 0]) if self.energy is None else self.energy(steps).squeeze(-1)
        weights = scores.masked_fill(~real, float("-inf")).softmax(1)
        return (weights[:, None] @ steps).squeeze(1)


class InstanceNormalization(nn.Module):
    r"""Standardizes each window of a series by its own mean :math:`m` and standard deviation :math:`s`, so that levels
    and amplitudes that never occur in training are forecast like any others. Forecasts are mapped back by
    :math:`s y + m`: reversible instance normalization (Kim et al. 2022, equations 1 to 3, without the learned affine
    parameters). Features that are not forecast are left unchanged.

    Args:
        features: number of features per step.
        continues: for each forecast value, the index of the feature that it continues.
    """

    forecast: Tensor
    continues: Tensor

    def __init__(self, features: int, continues: tuple[int, ...]) -> None:
        super().__init__()
        forecast = torch.zeros(features, dtype=torch.bool)
        forecast[list(continues)] = True
        self.register_buffer("forecast", forecast, persistent=False)
        self.register_buffer("continues", torch.tensor(continues), persistent=False)

    def forward(
        self, steps: Float[Tensor, "batch time features"]
    ) -> tuple[Float[Tensor, "batch time features"], Float[Tensor, "batch values"], Float[Tensor, "batch values"]]:
        """Returns the normalized steps, and the mean and standard deviation that map each forecast value back."""
        mean = torch.where(self.forecast, steps.mean(1), 0.0)
        std = torch.where(self.forecast, (steps.var(1, correction=0) + EPSILON).sqrt(), 1.0)
        normalized = (steps - mean[:, None]) / std[:, None]
        return normalized, mean.index_select(1, self.continues), std.index_select(1, self.continues)
