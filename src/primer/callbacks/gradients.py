"""How large the gradients are: in each layer, and in a recurrent network at each distance in time."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import Callback, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.records import run_folder
from primer.reports.gradients import draw_gradients
from primer.reports.publish import log_failure, publish

READ = "recurrence input"
"""What stands for a layer in the rows of distances."""


class Record(NamedTuple):
    """The layers of a model and their norms, on the device, ``step`` optimizer steps after the start."""

    step: int
    layers: tuple[str, ...]
    norms: Tensor


class Row(NamedTuple):
    """A line of ``gradients.csv``."""

    step: int
    layer: str
    distance: int | None
    norm: float


class Gradients(Callback):
    r"""Records the norms of gradients: vanishing and exploding ones are seen here first (Bengio et al. 1994; Pascanu et
    al. 2013).

    - Of each layer: the norm of the gradient of the loss with respect to its weights and biases, before clipping.
    - In a recurrent network: the norm of the gradient with respect to what the recurrence reads, :math:`\| \partial L /
      \partial x_{T-d} \|`, by the distance :math:`d` from the last real step :math:`T`; the mean over the sequences
      that are so long. Where one thing is said of the whole sequence, read in one direction
      (``model.bidirectional=false``), this is what reaches a step from ``d`` steps later. Of an encoder and a decoder,
      it is the encoder that is watched; without attention all reaches it through its last state. :math:`L` is the mean
      loss of a batch, however many are accumulated. The first of several processes speaks for its own share of a batch;
      a compiled model has no such norms.

    ``gradients.csv`` holds a row for each layer at each step that was recorded, and after each epoch one for each
    distance, the mean over the epoch. ``pictures/gradients.png`` shows both, and goes to the loggers that take
    pictures; these get the mean over each epoch as ``gradients/<layer>`` too. All adds up on the device, which is
    waited for once an epoch.

    Args:
        dirpath: the run folder.
        every_n_steps: the optimizer steps from one that is recorded to the next.

    Raises:
        ValueError: for less than 1 step.
    """

    def __init__(self, dirpath: str | Path, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise InputError(f"callbacks.gradients.every_n_steps must be at least 1, not {every_n_steps}")
        self.dirpath, self.every_n_steps = Path(dirpath), every_n_steps
        self.rows: list[Row] = []
        self._due = False
        self._hook: RemovableHandle | None = None
        self._records: list[Record] = []
        self._sums: list[Tensor] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Model, batch: Batch, batch_idx: int) -> None:
        if self._due or trainer.global_step % self.every_n_steps:
            return
        self._due = True
        recurrence = getattr(pl_module, "recurrence", None)
        if isinstance(recurrence, nn.Module) and pl_module._compiled_call_impl is None:
            factor = trainer.accumulate_grad_batches / loss_scale(trainer)
            self._hook = recurrence.register_forward_pre_hook(partial(self._watch, pl_module, factor))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Model, optimizer: Optimizer) -> None:
        if not self._due:
            return
        self._release()
        # Optimizers that undo the scale of a loss in half precision by themselves have not done so yet.
        scale = loss_scale(trainer) if getattr(optimizer, "_step_supports_amp_scaling", False) else 1.0
        factor = pl_module.correction() / scale  # Which the model, whose hook is later, has not made yet.
        norms = layer_norms(pl_module)
        if norms:
            self._records.append(Record(trainer.global_step, tuple(norms), factor * torch.stack(list(norms.values()))))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        records, sums, self._records, self._sums = self._records, self._sums, [], []
        if not records or not trainer.is_global_zero:
            return
        values = iter(torch.cat([record.norms for record in records]).tolist())
        rows = [Row(step, layer, None, next(values)) for step, layers, _ in records for layer in layers]
        means = {layer: mean([row.norm for row in rows if row.layer == layer]) for layer in records[-1].layers}
        for logger in trainer.loggers:
            named = {f"gradients/{layer}": value for layer, value in means.items()}
            logger.log_metrics(named | {"epoch": trainer.current_epoch}, step=trainer.global_step - 1)
        if sums:
            norms = by_distance(sums).tolist()
            rows += [Row(trainer.global_step, READ, distance, norm) for distance, norm in enumerate(norms)]
        self.rows += rows
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(Row._fields)
        table.writerows(self.rows)
        run_folder.write(self.dirpath / "gradients.csv", text.getvalue())

    def on_train_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._release()
        if not self.rows:
            return
        layers: dict[str, list[tuple[int, float]]] = {}
        distances: dict[int, list[float]] = {}
        for step, layer, distance, norm in self.rows:
            if distance is None:
                layers.setdefault(layer, []).append((step, norm))
            else:
                distances.setdefault(step, []).append(norm)
        pictures = self.dirpath / "pictures"
        with log_failure(pictures, "gradients"):
            publish(trainer, pictures, "gradients", draw_gradients(layers, distances))

    def on_exception(self, trainer: Trainer, pl_module: Model, exception: BaseException) -> None:
        self._release()

    def _release(self) -> None:
        self._due = False
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _watch(self, model: Model, factor: float, recurrence: nn.Module, arguments: Any) -> Any:
        """Has the gradient with respect to the first argument of the recurrence noted, in the backward pass."""
        steps, *others = arguments
        values = steps.data if isinstance(steps, PackedSequence) else steps
        if not values.requires_grad:
            values = values.detach().requires_grad_()
        distances = distances_of(steps).to(values.device)

        def note(gradient: Tensor) -> None:
            norms = factor * model.own_correction() * gradient.flatten(0, -2).norm(dim=-1)
            both = torch.stack([norms, torch.ones_like(norms)])
            self._sums.append(both.new_zeros(2, int(longest)).index_add_(1, distances, both))

        longest = len(steps.batch_sizes) if isinstance(steps, PackedSequence) else steps.shape[1]
        values.register_hook(note)
        return (steps._replace(data=values) if isinstance(steps, PackedSequence) else values, *others)


def layer_norms(model: nn.Module) -> dict[str, Tensor]:
    """The norm of the gradient of each module with parameters of its own, where there is a gradient."""
    found = {}
    for name, module in model.named_modules():
        gradients = [parameter.grad for parameter in module.parameters(recurse=False) if parameter.grad is not None]
        dense = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
        if dense:
            found[name or "model"] = get_total_norm(dense).float()
    return found


def distances_of(steps: Tensor | PackedSequence) -> Tensor:
    """How far each step is from the last one of its sequence, in the order in which the steps lie in memory."""
    if isinstance(steps, Tensor):
        return torch.arange(steps.shape[1] - 1, -1, -1).repeat(len(steps))
    sizes = steps.batch_sizes
    # Steps of the same time stand together, the longest sequence first.
    place = torch.cat([torch.arange(size) for size in sizes.tolist()])
    lengths = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0)
    return lengths[place] - 1 - torch.arange(len(sizes)).repeat_interleave(sizes)


def by_distance(sums: list[Tensor]) -> Tensor:
    """The mean norm at each distance, from sums and counts ``(2, distances)`` of as many distances as there were."""
    total = sums[0].new_zeros(2, max(some.shape[1] for some in sums))
    for some in sums:
        total[:, : some.shape[1]] += some
    return total[0] / total[1]


def loss_scale(trainer: Trainer) -> float:
    """What the loss is multiplied by before the backward pass: more than 1 in half precision."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else scaler.get_scale()


def mean(values: list[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values)
