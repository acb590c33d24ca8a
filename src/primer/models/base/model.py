"""The base of every model: the steps, the objective, the optimizer and the logging.

A model is a constructor that builds layers and a ``forward``. One that trains in another way overrides the step:
``training_step`` with ``automatic_optimization = False`` for several optimizers, ``train_dataloader`` for an
environment in place of a data set.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.hooks import DataHooks
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MetricCollection

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base.resumable import Resumable
from primer.models.base.state import arguments, plain
from primer.models.base.weighted import Weighted
from primer.objectives import Objective, auto
from primer.optim import Schedule, build_optimizer, decayed, penalizes
from primer.optim.groups import OptimizerFactory, rate_factors
from primer.spec import Spec

Stage = Literal["val", "test"]


class Model(Resumable, Weighted, ABC):
    """A model of a data set that a spec describes.

    A subclass names the types that it takes as ``inputs`` and ``targets``, and calls this constructor first.

    Args:
        spec: what the data set offers.
        objective: the loss and the metrics; the usual ones for the target by default.

    Attributes:
        optimizer: an optimizer class or a partial of one, Adam by default.
        schedule: of the learning rate; constant by default.
        l1, l2: the coefficients of the penalties on weights; biases and norms have none.
        lowest_rate: what the learning rate is multiplied by in the layers next to the input; from there it grows
            geometrically with depth, up to the full rate in the last layer (Howard and Ruder 2018, section 3.2).

    Raises:
        ValueError: where the model cannot take the input or the target.
    """

    inputs: ClassVar[Any]
    targets: ClassVar[Any]
    torchvision_names: ClassVar[dict[str, str]] = {}
    """Beginnings of the names of torchvision's parameters, with what they are here; the rest of a name is the same."""
    logged_metrics: ClassVar[tuple[str, ...]] = ()
    """What the model logs besides the losses and the metrics of its objective."""

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__()
        for side, value, accepted in (("inputs", spec.input, self.inputs), ("targets", spec.target, self.targets)):
            if not isinstance(value, accepted):
                raise InputError(f"{type(self).__name__} does not take {side} of type {type(value).__name__}")
        self.save_hyperparameters(plain(arguments(self, leave_out=("spec", "objective"))), logger=False)
        self.spec = spec
        self.objective = objective if objective is not None else auto(spec.target)
        self.optimizer: OptimizerFactory = torch.optim.Adam
        self.schedule = Schedule()
        self.l1 = self.l2 = 0.0
        self.lowest_rate = 1.0
        self._frozen = 0
        self.config: dict[str, Any] = {}
        self.history: dict[str, Any] = {}
        self._metrics: dict[Stage, MetricCollection] = {}
        self._sums: dict[str, list[Any]] = {"train": [0.0, 0], "val": [0.0, 0], "test": [0.0, 0]}
        self._latest: tuple[Tensor, Tensor | int] | None = None
        self._penalty = self._transfers_plainly = False
        self._window = []

    @property
    def outputs(self) -> int:
        """How many numbers the last layer puts out, for each sample or each step."""
        return self.objective.outputs

    @abstractmethod
    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs for standardised inputs: a function of parameters, buffers and inputs alone."""

    def forward_batch(self, batch: Batch) -> Tensor:
        """The outputs for a batch. To be overridden by a model whose outputs depend on the targets too."""
        return self(batch.inputs) if batch.lengths is None else self(batch.inputs, batch.lengths)

    def predict(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        """Predictions in the form of the targets, from the outputs where there are some already."""
        return self.objective.predict(self.forward_batch(batch) if outputs is None else outputs)

    # What starting from trained weights needs.

    def depth_groups(self) -> list[list[nn.Module]]:
        """The layers from the input to the output, in groups that learn at the same rate and are frozen together. By
        default each child with parameters, in the order in which the constructor made them."""
        children = (child for child in self.children() if child is not self.objective)
        return [[child] for child in children if next(child.parameters(), None) is not None]

    def freeze_groups(self, count: int) -> None:
        """Keeps the first ``count`` depth groups as they are: no gradients, and evaluation mode even while the rest
        trains, so that running statistics stay and nothing is dropped there."""
        self._frozen = count
        for place, group in enumerate(self.depth_groups()):
            for layer in group:
                layer.requires_grad_(place >= count)
        self.train(self.training)

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for group in self.depth_groups()[: self._frozen] if mode and self._frozen else ():
            for layer in group:
                layer.eval()
        return self

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        """Parameters of which each row stands for one entry of a vocabulary, and that vocabulary in a spec: trained
        rows are moved to where the data of another run has the same words."""
        return {}

    @classmethod
    def torchvision_name(cls, **settings: Any) -> str | None:
        """What torchvision calls the model with these settings; None where it has no weights for it."""
        return None

    # The steps.

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert batch.targets is not None
        loss, count = self.objective.loss(self.forward_batch(batch), batch.targets)
        self._latest = loss.detach(), count
        if self._penalty:
            loss = loss + self.penalty()
        return self._weigh(loss, count)

    # Lightning inspects this signature at every step: kept, it need not be made anew.
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self._latest is not None:
            self._add("train", *self._latest)
        if self.trainer.is_last_batch:  # Before validation starts, so that what is reported of an epoch is whole.
            if self._latest is not None:
                self.log("train/loss", self._mean("train"), on_step=False, on_epoch=True)
            groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
            if groups:
                self.log("lr", max(group["lr"] for group in groups), on_step=False, on_epoch=True)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        return self._evaluate("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.predict(batch)

    def penalty(self) -> Tensor:
        """What L1, and L2 for an optimizer that has no weight decay, add to the loss."""
        weights, _ = decayed(self)
        terms = torch.zeros((), device=self.device)
        if self.l1:
            terms = terms + self.l1 * sum(weight.abs().sum() for weight in weights)
        if self.l2 and penalizes(self.optimizer):
            terms = terms + self.l2 / 2 * sum(weight.square().sum() for weight in weights)
        return terms

    # What Lightning asks for.

    def configure_optimizers(self) -> Any:
        trainer = self.trainer
        clips_scaled = trainer.precision == "16-mixed" and bool(trainer.gradient_clip_val)
        factors = rate_factors(self.depth_groups(), self.lowest_rate) if self.lowest_rate != 1 else None
        optimizer = build_optimizer(self.optimizer, self, self.l2, fused=not clips_scaled, factors=factors)
        if isinstance(optimizer, torch.optim.LBFGS) and trainer.accumulate_grad_batches > 1:
            raise InputError(
                "LBFGS takes the loss of a batch several times a step and cannot add up those of others: "
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} must be 1; try data.batch_size=full"
            )
        if math.isinf(trainer.num_training_batches):
            trainer.fit_loop.setup_data()
        steps = trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError("a run needs an end: set trainer.max_epochs or trainer.max_steps")
        batches = max(1, trainer.num_training_batches / trainer.accumulate_grad_batches)
        epochs = 1 if math.isinf(batches) else math.ceil(steps / math.ceil(batches))  # Data without an end are one.
        self._length = int(steps), epochs
        schedulers = self.schedule.build(optimizer, *self._length)
        for entry in schedulers:
            if isinstance(entry["scheduler"], ReduceLROnPlateau) and entry["monitor"].startswith("val/"):
                entry["frequency"] = trainer.check_val_every_n_epoch or 1  # Told of each validation, and of it alone.
        return [optimizer], schedulers

    def on_fit_start(self) -> None:
        size = getattr(getattr(self.trainer, "datamodule", None), "batch_size", "full")
        if size == 1 and any(isinstance(layer, nn.BatchNorm1d) and layer.training for layer in self.modules()):
            raise InputError(
                "data.batch_size=1: batch normalization needs at least 2 samples; model.normalization=layer takes one"
            )
        self._penalty = bool(self.l1 or (self.l2 and penalizes(self.optimizer)))
        owners = [type(owner) for owner in (self, getattr(self.trainer, "datamodule", None)) if owner]
        hooks = ("on_before_batch_transfer", "on_after_batch_transfer")
        self._transfers_plainly = all(
            getattr(one, hook) is getattr(DataHooks, hook) for one in owners for hook in hooks
        )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if not batch_idx:  # No hook of the epoch: Lightning leaves it out where it resumes after the last batch of one.
            self._sums["train"] = [torch.zeros((), device=self.device), 0]
            self._catch_up(self.trainer.fit_loop.epoch_progress.current.ready - 1)

    def on_validation_epoch_start(self) -> None:
        self._start("val")

    def on_validation_epoch_end(self) -> None:
        self._finish("val")

    def on_test_epoch_start(self) -> None:
        self._start("test")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["primer"] = {
            "model": {"_target_": f"{type(self).__module__}.{type(self).__qualname__}", **self.hparams},
            "objective": {
                "_target_": f"{type(self.objective).__module__}.{type(self.objective).__qualname__}",
                **plain(self.objective.settings()),
            },
            "spec": self.spec.to_dict(),
            "config": self.config,
            **self.progress(),
        }

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the first of these some forty times a step, and the search of nn.Module for the kind of the
        # value costs more than a small layer.
        if name in ("_current_fx_name", "_latest"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _call_batch_hook(self, hook_name: str, *args: Any) -> Any:
        # Lightning looks up who overrides each of three hooks at every batch, which takes as long as a small layer.
        if self._transfers_plainly and isinstance(args[0], Batch):
            return args[0].to(args[1]) if hook_name == "transfer_batch_to_device" else args[0]
        return super()._call_batch_hook(hook_name, *args)

    # Sums that give the same mean for any batch size, any padding and any number of processes.

    def _evaluate(self, stage: Stage, batch: Batch) -> Tensor | None:
        assert batch.targets is not None
        if not batch.size:
            return None
        outputs = self.forward_batch(batch)
        self._add(stage, *self.objective.loss(outputs, batch.targets))
        # Each metric takes what it names of these.
        more = {"inputs": batch.inputs, "outputs": outputs}
        self._metrics[stage].update(self.predict(batch, outputs), batch.targets, **more)
        return outputs

    def _start(self, stage: Stage) -> None:
        if stage not in self._metrics:
            self._metrics[stage] = self.objective.metrics().to(self.device)
        self._metrics[stage].reset()
        self._sums[stage] = [torch.zeros((), device=self.device), 0]

    def _finish(self, stage: Stage) -> None:
        values: dict[str, Tensor] = self._metrics[stage].compute()
        self.history[stage] = {name: value.cpu() for name, value in values.items() if value.ndim}
        scalars = {f"{stage}/{name}": value for name, value in values.items() if not value.ndim}
        self.log_dict({f"{stage}/loss": self._mean(stage), **scalars})

    def _add(self, stage: str, loss: Tensor, count: Tensor | int) -> None:
        sums = self._sums[stage]
        if isinstance(count, int):
            sums[0].add_(loss, alpha=count)
        else:
            sums[0].addcmul_(loss, count.to(loss.dtype))
        sums[1] = sums[1] + count

    def _mean(self, stage: str) -> Tensor:
        total, count = (torch.as_tensor(value, device=self.device).float() for value in self._sums[stage])
        both = self.trainer.strategy.reduce(torch.stack([total, count]), reduce_op="sum")
        assert isinstance(both, Tensor)
        return both[0] / both[1].clamp(min=1)
