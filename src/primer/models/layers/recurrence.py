"""Recurrent layers one upon the other, dropout between them, and what is made of their states."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from primer.errors import InputError

State = list[Tensor | tuple[Tensor, Tensor]]
"""Of each layer the state after the last step, ``(directions, batch, hidden)``; of an LSTM that and the cell."""

POOLINGS = ("last", "mean", "max", "attention")

EPSILON = 1e-5
"""What is added to the variance of a window, in that of the training part: a constant window has none."""


class Stack(nn.Module):
    """Recurrent layers, each of which reads the states of the one before.

    Args:
        layers: of one layer each, the batch first.
        dropout: between layers.
    """

    def __init__(self, layers: list[nn.RNNBase], dropout: nn.Module) -> None:
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(layers), dropout

    def forward(
        self, steps: Tensor | PackedSequence, state: State | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """The states of the last layer at each step, and those of all layers after the last one."""
        final: State = []
        for k, layer in enumerate(self.layers):
            steps = self.dropout(steps) if k else steps
            steps, last = layer(steps, None if state is None else state[k])
            final.append(last)
        return steps, final


class SequenceDropout(nn.Module):
    """Dropout of sequences. ``locked``, one mask serves all steps of a sequence (Gal and Ghahramani 2016).

    Args:
        rate: the share of values that is dropped in training; the others grow, so that their sum stays.
        locked: whether the mask of a sequence is the same at each step.
    """

    def __init__(self, rate: float, locked: bool = False) -> None:
        super().__init__()
        self.rate, self.locked = rate, locked

    def forward(self, steps: Tensor | PackedSequence) -> Tensor | PackedSequence:
        """``(batch, time, features)``, ``(batch, features)``, or packed sequences."""
        if not self.training or not self.rate:
            return steps
        if isinstance(steps, PackedSequence):
            return steps._replace(data=steps.data * self._mask(steps.data, steps.batch_sizes))
        return steps * self._mask(steps)

    def _mask(self, values: Tensor, batch_sizes: Tensor | None = None) -> Tensor:
        keep = 1 - self.rate
        if not self.locked or (values.ndim == 2 and batch_sizes is None):
            return torch.empty_like(values).bernoulli_(keep).div_(keep)
        if batch_sizes is None:
            return values.new_empty(len(values), 1, values.shape[-1]).bernoulli_(keep).div_(keep)
        mask = values.new_empty(int(batch_sizes[0]), values.shape[-1]).bernoulli_(keep).div_(keep)
        # Packed steps of the same time stand together, the longest sequence first.
        rows = torch.cat([torch.arange(size) for size in batch_sizes.tolist()])
        return mask[rows.to(values.device)]


class Pooling(nn.Module):
    """One vector for a whole sequence.

    Args:
        name: ``last``, the states at which the reading ends, that after the last real step and, backward, that after
            the first; ``mean`` or ``max`` over the real steps; ``attention``, a mean whose weights are learnt (Yang
            et al. 2016, equations 5 to 7).
        features: the length of the state of a step.
        directions: 2 where the sequence is read backward too.

    Raises:
        ValueError: for another name.
    """

    def __init__(self, name: str, features: int, directions: int) -> None:
        super().__init__()
        if name not in POOLINGS:
            raise InputError(f"pooling must be one of {', '.join(POOLINGS)}, not {name!r}")
        self.name, self.directions = name, directions
        self.energy = None
        if name == "attention":
            self.energy = nn.Sequential(nn.Linear(features, features), nn.Tanh(), nn.Linear(features, 1, bias=False))

    def forward(self, states: Tensor | PackedSequence, final: State) -> Float[Tensor, "batch features"]:
        if self.name == "last":
            hidden = final[-1][0] if isinstance(final[-1], tuple) else final[-1]
            return torch.cat(tuple(hidden[-self.directions :]), dim=-1)
        steps, real = unpacked(states)
        if self.name == "max":
            return steps.masked_fill(~real[..., None], float("-inf")).amax(1)
        scores = torch.zeros_like(steps[..., 0]) if self.energy is None else self.energy(steps).squeeze(-1)
        weights = scores.masked_fill(~real, float("-inf")).softmax(1)
        return (weights[:, None] @ steps).squeeze(1)


class InstanceNormalization(nn.Module):
    r"""Windows of series, each less its own mean :math:`m` and over its own deviation :math:`s`, so that a level or a
    swing that training never had is forecast like any other. Forecasts are taken back by :math:`s y + m`: reversible
    instance normalization (Kim et al. 2022, equations 1 to 3, without the learnt scale). Other features stay.

    Args:
        features: how many a step has.
        continues: for each value that is forecast, the feature that it goes on from.
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
        """The normalized steps, and the mean and the deviation that take each value back."""
        mean = torch.where(self.forecast, steps.mean(1), 0.0)
        std = torch.where(self.forecast, (steps.var(1, correction=0) + EPSILON).sqrt(), 1.0)
        normalized = (steps - mean[:, None]) / std[:, None]
        return normalized, mean.index_select(1, self.continues), std.index_select(1, self.continues)


def unpacked(
    states: Tensor | PackedSequence, total: int | None = None
) -> tuple[Float[Tensor, "batch time features"], Bool[Tensor, "batch time"]]:
    """The states of each sequence side by side, zero on padding, and which of them are real."""
    if isinstance(states, Tensor):
        return states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    steps, lengths = pad_packed_sequence(states, batch_first=True, total_length=total)
    return steps, torch.arange(steps.shape[1], device=steps.device) < lengths.to(steps.device)[:, None]
