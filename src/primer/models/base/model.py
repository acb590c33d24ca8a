"""The base of every model: one method that holds the loss, and the same steps, metrics and logging around it for all.

A model is a constructor that builds layers and a ``forward``. One with a loss of its own overrides ``step``; one with
several optimizers also overrides ``optimizer_groups`` and ``training_step``; one that learns in a single pass without
gradients is a ``primer.models.base.SinglePass``.
"""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base.arguments import bind_arguments, plain
from primer.models.base.evaluation import Evaluation, Stage
from primer.models.base.optimization import Optimization
from primer.models.base.overhead import LowOverheadModule, with_signature
from primer.models.base.step import Step
from primer.objectives import ModelLoss, Objective, auto
from primer.spec import NoTarget, Spec

FORMAT = 2
"""The format of the checkpoints. It grows when older ones cannot be read any more."""


class Model(LowOverheadModule, Optimization, ABC):
    """A model of a data set that a spec describes.

    A subclass names the types that it accepts as ``inputs`` and ``targets``, and calls this constructor first. One with
    ``targets = NoTarget`` ignores targets, so it accepts any data with its inputs.

    Args:
        spec: what the data set offers.
        objective: the loss and the metrics; by default the usual ones for the target.

    Attributes:
        evaluation: the losses and the metrics of each stage.
        config: the resolved config of the run, for the checkpoint.

    Raises:
        InputError: if the model cannot take the input or the target.
    """

    inputs: ClassVar[Any]
    targets: ClassVar[Any]
    monitor: ClassVar[str | None] = "val/loss"
    """The metric that the best checkpoint is chosen by; None for the latest checkpoint."""
    mode: ClassVar[Literal["min", "max"] | None] = None
    """Whether less or more of ``monitor`` is better, if it is a metric that the model logs itself."""
    logged_metrics: ClassVar[tuple[str, ...]] = ()
    """The metrics that the model logs itself, besides the losses and those of its objective; ``*`` matches anything."""
    views: ClassVar[int] = 1
    """How many augmented views of each sample a batch holds: with 2, a batch of ``n`` samples has ``2 n`` rows, and the
    rows ``i`` and ``n + i`` are views of the same sample."""
    torchvision_names: ClassVar[dict[str, str]] = {}
    """Beginnings of the names of torchvision's parameters, with what they are here; the rest of a name is the same."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Model:
        model = super().__new__(cls)
        object.__setattr__(model, "_arguments", bind_arguments(cls, args, kwargs))
        return model

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__()
        self.check_spec(spec)
        settings = {name: value for name, value in self._arguments.items() if name not in ("spec", "objective")}
        self.save_hyperparameters(plain(settings), logger=False)
        self.spec = spec
        self.objective = objective if objective is not None else default_objective(type(self), spec)
        self.evaluation = Evaluation(self.objective)
        self.config: dict[str, Any] = {}
        self.init_optimization()
        self._frozen = 0
        self._latest: tuple[Tensor, Tensor | int] | None = None
        self._logged: set[str] = set()

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raises ``InputError`` if the model does not accept the input or the target of a data set."""
        for side, value in (("inputs", spec.input), ("targets", spec.target)):
            accepted = getattr(cls, side, None)
            if accepted is None:
                example = "inputs = Vector | Image" if side == "inputs" else "targets = Classes"
                raise InputError(
                    f"{cls.__name__} does not name the {side} it accepts: add a class attribute such as {example}, "
                    "with types of primer.spec"
                )
            if not (isinstance(value, accepted) or (side == "targets" and accepted is NoTarget)):
                raise InputError(f"{cls.__name__} does not take {side} of type {type(value).__name__}")

    # What a subclass fills in.

    @property
    def outputs(self) -> int:
        """How many numbers the last layer puts out, for each sample or each step."""
        return self.objective.outputs

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Outputs for standardized inputs: a function of parameters, buffers and inputs alone."""
        raise InputError(f"{type(self).__name__} has no forward method: define forward(self, inputs), or override step")

    def forward_batch(self, batch: Batch) -> Tensor:
        """The outputs for a batch. To be overridden by a model whose outputs depend on the targets too."""
        return self(batch.inputs) if batch.lengths is None else self(batch.inputs, batch.lengths)

    def step(self, batch: Batch) -> Step:
        """The loss of a batch, in training, validation and test alike. To be overridden by a model with a loss of its
        own; by default it is that of the objective."""
        outputs = self.forward_batch(batch)
        loss, count = self.objective.loss(outputs, batch.targets)  # type: ignore[arg-type]
        return Step(loss, count, outputs)

    def predict(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        """Predictions in the form of the targets, from the outputs if they are there already."""
        return self.objective.predict(self.forward_batch(batch) if outputs is None else outputs)

    def resume_state(self) -> dict[str, Any]:
        """What a run needs to continue besides parameters and buffers, as tensors and plain values."""
        return {}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restores what ``resume_state`` returned."""

    # What starting from trained weights needs.

    def freeze_groups(self, count: int) -> None:
        """Keeps the first ``count`` depth groups as they are: no gradients, and evaluation mode even while the rest
        trains, so that running statistics stay and nothing is dropped there. A parameter that a frozen and a trained
        group share is frozen."""
        self._frozen = count
        groups = self.depth_groups()
        frozen = {id(p) for group in groups[:count] for layer in group for p in layer.parameters()}
        for group in groups:
            for layer in group:
                for parameter in layer.parameters():
                    parameter.requires_grad_(id(parameter) not in frozen)
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
        """What torchvision calls the model with these settings; None if it has no weights for it."""
        return None

    # The steps that Lightning calls.

    @with_signature
    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        step = self.step(batch)
        self._latest = step.loss.detach(), step.count
        return self.training_loss(step)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self._evaluate("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.predict(batch)

    def _evaluate(self, stage: Stage, batch: Batch) -> Tensor | None:
        if not batch.size:
            return None
        step = self.step(batch)
        self.evaluation.evaluate(stage, step, batch, lambda: self.predict(batch, step.outputs))
        return step.outputs

    def on_fit_start(self) -> None:
        size = getattr(getattr(self.trainer, "datamodule", None), "batch_size", "full")
        if size == 1 and any(isinstance(layer, nn.BatchNorm1d) and layer.training for layer in self.modules()):
            raise InputError(
                "data.batch_size=1: batch normalization needs at least 2 samples; model.normalization=layer takes one"
            )
        self.find_batch_hooks()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        if not batch_idx:  # Not a hook of the epoch: Lightning leaves it out if it resumes after the last batch of one.
            self.evaluation.start_stage("train", self.device)
            self._logged.discard("train/loss")
        self._counted = False

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._latest is not None:
            self.evaluation.add_loss("train", *self._latest)
            self._latest = None
        if self.has_penalty and not self._penalized:
            raise InputError(
                f"regularization: {type(self).__name__} overrides training_step, so L1 and L2 would have no effect: "
                "override step instead, or set regularization.l1=0 regularization.l2=0"
            )
        if self.trainer.is_last_batch:  # Before validation starts, so that what is reported of an epoch is whole.
            self._log_training()
            if not self.automatic_optimization and self.has_optimizer_groups():
                self._advance_schedules("epoch")

    def on_train_epoch_end(self) -> None:
        if not self.trainer.is_last_batch:  # A limit of steps or of time ended the run inside the epoch.
            self._log_training()
        self.advance_plateaus("train/")

    def _log_training(self) -> None:
        loss = self.evaluation.mean_loss("train", self.trainer.strategy)
        self._log_unless_logged({} if loss is None else {"train/loss": loss}, on_step=False, on_epoch=True)
        groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups]
        if groups:
            self._log_unless_logged({"lr": max(group["lr"] for group in groups)}, on_step=False, on_epoch=True)

    def on_train_end(self) -> None:
        if self.has_optimizer_groups() and self.trainer.global_step and not self._optimized:
            raise InputError(
                f"{type(self).__name__} has several optimizers, and its training_step never calls optimize: call "
                "self.optimize(name, step) for each of them, so that clipping and schedules apply"
            )

    def on_validation_epoch_start(self) -> None:
        self._start_stage("val")

    def on_validation_epoch_end(self) -> None:
        self._finish_stage("val")
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.advance_plateaus("val/")

    def on_test_epoch_start(self) -> None:
        self._start_stage("test")

    def on_test_epoch_end(self) -> None:
        self._finish_stage("test")

    def on_predict_epoch_start(self) -> None:
        self._start_stage("predict")

    def on_predict_epoch_end(self) -> None:
        self.evaluation.stage = None

    def _start_stage(self, stage: Stage) -> None:
        self.evaluation.start_stage(stage, self.device)
        self._logged = {name for name in self._logged if not name.startswith(f"{stage}/")}

    def _finish_stage(self, stage: Stage) -> None:
        values = self.evaluation.finish_stage(stage, self.trainer.strategy)
        self._log_unless_logged({f"{stage}/{name}": value for name, value in values.items()})

    # Logging: what the model logs itself is never overwritten.

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self._logged.add(name)
        super().log(name, value, *args, **kwargs)

    def _log_unless_logged(self, values: dict[str, Any], **settings: Any) -> None:
        for name, value in values.items():
            if name not in self._logged:
                super().log(name, value, **settings)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["primer"] = {
            "format": FORMAT,
            "model": {"_target_": _path(type(self)), **self.hparams},
            "objective": {"_target_": _path(type(self.objective)), **plain(self.objective.settings())},
            "spec": self.spec.to_dict(),
            "config": self.config,
            "metrics": {name: float(value) for name, value in self._trainer_metrics().items()},
        }

    def _trainer_metrics(self) -> dict[str, Tensor]:
        trainer = self._trainer
        return {} if trainer is None else dict(trainer.callback_metrics)


def default_objective(kind: type[Model], spec: Spec) -> Objective:
    """The usual objective for a target, or one that leaves the loss to a model that ignores targets."""
    return ModelLoss(spec.target) if kind.targets is NoTarget else auto(spec.target)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
