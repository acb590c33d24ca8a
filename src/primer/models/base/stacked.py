"""Many models of the same architecture, computed at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from primer.batch import Batch
from primer.models.base.model import Model
from primer.models.base.step import Step
from primer.optim import decayed


class StackedStep(NamedTuple):
    """The result of all models for a batch.

    Attributes:
        losses: ``(models,)`` the mean loss of each.
        counts: ``(models,)`` the number of targets that it is the mean of.
        outputs: ``(models, batch, ...)``.
    """

    losses: Tensor
    counts: Tensor
    outputs: Tensor


class StackedModel:
    """Models of the same architecture whose parameters are the rows of one matrix.

    Args:
        models: the models. They are not changed.
        device: where to compute.

    Attributes:
        values: ``(models, parameters)`` all parameters of each.
        buffers: by name, the buffers of all models, with the models in the first dimension. The objective's own are not
            among them.
        decayed: ``(parameters,)`` which parameters L1 and L2 apply to.
    """

    def __init__(self, models: Sequence[Model], device: torch.device) -> None:
        self._module = _Loss(copy.deepcopy(models[0])).to(device)
        self._shapes = {name: parameter.shape for name, parameter in models[0].named_parameters()}
        rows = [torch.cat([parameter.detach().flatten() for parameter in model.parameters()]) for model in models]
        self.values = torch.stack(rows).to(device).requires_grad_()
        names = [name for name, _ in models[0].named_buffers() if not name.startswith("objective.")]
        self.buffers = {name: torch.stack([model.get_buffer(name) for model in models]).to(device) for name in names}
        shrunk = {id(parameter) for parameter in decayed(models[0])[0]}
        masks = [torch.full((p.numel(),), id(p) in shrunk, device=device) for p in models[0].parameters()]
        self.decayed = torch.cat(masks)

    def train(self, mode: bool = True) -> None:
        """Sets the training or the evaluation mode of all models."""
        self._module.train(mode)

    def step(self, inputs: Tensor, targets: Tensor | None, shared: bool = False) -> StackedStep:
        """Computes ``Model.step`` of all models.

        Args:
            inputs, targets: a batch for each model, with the models in the first dimension.
            shared: whether they are one batch for all models instead.
        """
        over = None if shared else 0
        rows = self.parameters(self.values)
        return StackedStep(*vmap(self._step, in_dims=(0, 0, over, over))(rows, self.buffers, inputs, targets))

    def parameters(self, values: Tensor) -> dict[str, Tensor]:
        """Splits values ``(..., parameters)`` into parameters by name."""
        parts = values.split([shape.numel() for shape in self._shapes.values()], -1)
        return {
            name: part.unflatten(-1, shape) if shape else part.squeeze(-1)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def select(self, rows: Tensor) -> None:
        """Keeps some of the models."""
        self.values = self.values.detach()[rows].requires_grad_()
        self.buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}

    def _step(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        named = {f"model.{name}": value for name, value in (parameters | buffers).items()}
        step: Step = functional_call(self._module, named, (Batch(inputs, targets),))
        count = step.count if isinstance(step.count, Tensor) else step.loss.new_full((), step.count)
        assert step.outputs is not None
        return step.loss, count, step.outputs


class _Loss(nn.Module):
    """Calls ``step`` of a model as a forward method, which is all that ``functional_call`` can call."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Step:
        return self.model.step(batch)
