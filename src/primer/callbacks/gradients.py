"""Gradient norms: per layer, and for recurrent networks also per distance in time."""

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

RECURRENCE_INPUT = "recurrence input"
"""The value of the column ``layer`` in rows of norms by distance."""


class Record(NamedTuple):
    """The gradient norms of all layers after ``step`` optimizer steps, still on the device."""

    step: int
    layers: tuple[str, ...]
    norms: Tensor


class GradientRow(NamedTuple):
    """A row of ``gradients.csv``."""

    step: int
    layer: str
    distance: int | None
    norm: float


class Gradients(Callback):
    r"""Records gradient norms, to detect vanishing and exploding gradients (Bengio et al. 1994; Pascanu et al. 2013).

    - Per layer: the norm of the gradient of the loss with respect to its weights and biases, before clipping.
    - For a recurrent network: the norm of the gradient with respect to the input of the recurrence, :math:`\| \partial
      L / \partial x_{T-d} \|`, by distance :math:`d` from the last non-padding step :math:`T`, averaged over the
      sequences that are long enough. If the model predicts one output per sequence and reads it in one direction
      (``model.bidirectional=false``), this is the gradient that reaches a step from ``d`` steps later. In an
      encoder-decoder model, the encoder is recorded; without attention, all of its gradient flows through its last
      state. :math:`L` is the mean loss of a batch, regardless of gradient accumulation. In distributed runs, the main
      process records its own part of each batch. Compiled models do not have these norms.

    ``gradients.csv`` has a row per layer and recorded step, and after each epoch a row per distance with the mean over
    the epoch. ``pictures/gradients.png`` shows both, and is sent to the loggers that support images. Loggers also
    receive the mean over each epoch as ``gradients/<layer>``. Norms accumulate on the device, and are transferred once
    per epoch.

    Args:
        dirpath: the run folder.
        every_n_steps: the number of optimizer steps between recordings.

    Raises:
        InputError: if ``every_n_steps`` is less than 1.
    """

    def __init__(self, dirpath: str | Path, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise InputError(f"callbacks.gradients.every_n_steps must be at least 1, not {every_n_steps}")
        self.dirpath, self.every_n_steps = Path(dirpath), every_n_steps
        self.rows: list[GradientRow] = []
        self._due = False
        self._hook: RemovableHandle | None = None
        self._records: list[Record] = []
        self._sums: list[Tensor] = []

    def on_train_start(self, trainer: Trainer, pl_module: Model) -> None:
        file = self.dirpath / "gradients.csv"
        if trainer.ckpt_path and file.is_file():  # A resumed run continues its file.
            self.rows = [row for row in read_rows(file) if row.step < trainer.global_step + (row.distance is not None)]

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
        # Optimizers that unscale gradients of half precision in their own step have not done so yet.
        scale = loss_scale(trainer) if getattr(optimizer, "_step_supports_amp_scaling", False) else 1.0
        factor = pl_module.correction() / scale  # The model's own hook applies the correction later.
        norms = layer_norms(pl_module)
        if norms:
            self._records.append(Record(trainer.global_step, tuple(norms), factor * torch.stack(list(norms.values()))))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        records, sums, self._records, self._sums = self._records, self._sums, [], []
        if not records or not trainer.is_global_zero:
            return
        values = iter(torch.cat([record.norms for record in records]).tolist())
        rows = [GradientRow(step, layer, None, next(values)) for step, layers, _ in records for layer in layers]
        means = {layer: mean([row.norm for row in rows if row.layer == layer]) for layer in records[-1].layers}
        for logger in trainer.loggers:
            named = {f"gradients/{layer}": value for layer, value in means.items()}
            logger.log_metrics(named | {"epoch": trainer.current_epoch}, step=trainer.global_step - 1)
        if sums:
            norms = by_distance(sums).tolist()
            rows += [
                GradientRow(trainer.global_step, RECURRENCE_INPUT, distance, norm)
                for distance, norm in enumerate(norms)
            ]
        self.rows += rows
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(GradientRow._fields)
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
        """Registers a hook that records the gradient with respect to the first argument of the recurrence."""
        steps, *others = arguments
        values = steps.data if isinstance(steps, PackedSequence) else steps
        if not values.requires_grad:
            values = values.detach().requires_grad_()
        distances = distances_of(steps).to(values.device)

        def record(gradient: Tensor) -> None:
            norms = factor * model.own_correction() * gradient.flatten(0, -2).norm(dim=-1)
            norms_and_counts = torch.stack([norms, torch.ones_like(norms)])
            sums = norms_and_counts.new_zeros(2, int(longest))
            self._sums.append(sums.index_add_(1, distances, norms_and_counts))

        longest = len(steps.batch_sizes) if isinstance(steps, PackedSequence) else steps.shape[1]
        values.register_hook(record)
        return (steps._replace(data=values) if isinstance(steps, PackedSequence) else values, *others)


def read_rows(file: Path) -> list[GradientRow]:
    """Reads ``gradients.csv``."""
    with file.open(newline="") as lines:
        return [
            GradientRow(
                int(row["step"]), row["layer"], int(row["distance"]) if row["distance"] else None, float(row["norm"])
            )
            for row in csv.DictReader(lines)
        ]


def layer_norms(model: nn.Module) -> dict[str, Tensor]:
    """Returns the gradient norm of each module that has its own parameters and a gradient."""
    norms = {}
    for name, module in model.named_modules():
        gradients = [parameter.grad for parameter in module.parameters(recurse=False) if parameter.grad is not None]
        dense = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
        if dense:
            norms[name or "model"] = get_total_norm(dense).float()
    return norms


def distances_of(steps: Tensor | PackedSequence) -> Tensor:
    """Returns the distance of each step from the last step of its sequence, in memory order."""
    if isinstance(steps, Tensor):
        return torch.arange(steps.shape[1] - 1, -1, -1).repeat(len(steps))
    sizes = steps.batch_sizes
    # A packed sequence is time-major, with the longest sequences first.
    sequence = torch.cat([torch.arange(size) for size in sizes.tolist()])
    lengths = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0)
    return lengths[sequence] - 1 - torch.arange(len(sizes)).repeat_interleave(sizes)


def by_distance(sums: list[Tensor]) -> Tensor:
    """Returns the mean norm at each distance, given sums and counts ``(2, distances)`` of varying length."""
    total = sums[0].new_zeros(2, max(batch.shape[1] for batch in sums))
    for batch in sums:
        total[:, : batch.shape[1]] += batch
    return total[0] / total[1]


def loss_scale(trainer: Trainer) -> float:
    """Returns the factor that scales the loss before the backward pass; it is 1 except in half precision."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else scaler.get_scale()


def mean(values: list[float]) -> float:
    """Returns the arithmetic mean."""
    return sum(values) / len(values)
