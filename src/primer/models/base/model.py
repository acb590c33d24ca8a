"""Base class of all models: one method computes the loss; steps, metrics and logging around it are the same for all.

A model consists of a constructor that builds layers and a ``forward`` method. A model with a custom loss overrides
``step``; one with several optimizers also overrides ``optimizer_groups`` and ``training_step``; one that is fitted in a
single pass without gradients subclasses ``primer.models.base.SinglePass``.
"""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from primer.prediction import Predictions

FORMAT = 3
"""Version of the checkpoint format. It is incremented when older checkpoints can no longer be read."""


class Model(LowOverheadModule, Optimization, ABC):
    """Base class of models, built for the data set that a spec describes.

    A subclass declares the types that it accepts as ``inputs`` and ``targets``, and calls this constructor first. A
    model with ``targets = NoTarget`` ignores targets, so it accepts any data with its inputs.

    Args:
        spec: describes the inputs and targets of the data set.
        objective: loss and metrics; by default the usual ones for the target.

    Attributes:
        evaluation: losses and metrics of each stage.
        config: resolved config of the run, saved in checkpoints.

    Raises:
        InputError: if the model does not accept the input or the target.
    """

    inputs: ClassVar[Any]
    targets: ClassVar[Any]
    monitor: ClassVar[str | None] = "val/loss"
    """Metric that selects the best checkpoint; None selects the latest checkpoint."""
    mode: ClassVar[Literal["min", "max"] | None] = None
    """Whether a lower or a higher ``monitor`` is better, for a metric that the model logs itself."""
    logged_metrics: ClassVar[tuple[str, ...]] = ()
    """Metrics that the model logs itself, besides the losses and those of its objective; ``*`` matches anything."""
    logged_losses: ClassVar[tuple[str, ...]] = ("train/loss", "val/loss")
    """The losses that ``monitor`` may name."""
    views: ClassVar[int] = 1
    """Number of augmented views of each sample in a batch: with 2, a batch of ``n`` samples has ``2 n`` rows, and rows
    ``i`` and ``n + i`` are views of the same sample."""
    torchvision_names: ClassVar[dict[str, str]] = {}
    """Maps prefixes of torchvision's parameter names to those of this model; the rest of a name is the same."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Model:
        model = super().__new__(cls)
        object.__setattr__(model, "_arguments", bind_arguments(cls, args, kwargs))
        return model

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__()
        self.check_spec(spec)
        check_hooks(type(self))
        settings = {name: value for name, value in self._arguments.items() if name not in ("spec", "objective")}
        self.save_hyperparameters(plain(settings), logger=False)
        self.spec = spec
        self.objective = objective if objective is not None else default_objective(type(self), spec)
        self.evaluation = Evaluation(self.objective)
        self.config: dict[str, Any] = {}
        self.init_optimization()
        self._frozen = 0
        self._fixed: set[int] = set()
        self._latest: tuple[Tensor, Tensor | int] | None = None
        self._logged: set[str] = set()

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raises ``InputError`` if the model does not accept the input or target types of a data set."""
        for side, value in (("inputs", spec.input), ("targets", spec.target)):
            accepted = getattr(cls, side, None)
            if accepted is None:
                example = "inputs = Vector | Image" if side == "inputs" else "targets = Classes"
                raise InputError(
                    f"{cls.__name__} does not declare the {side} it accepts: add a class attribute such as {example}, "
                    "with types from primer.spec"
                )
            if not (isinstance(value, accepted) or (side == "targets" and accepted is NoTarget)):
                raise InputError(f"{cls.__name__} does not accept {side} of type {type(value).__name__}")

    def predict(self, inputs: Any, batch_size: int | None = None) -> Predictions:
        """Predicts from raw inputs, in the unit of the user's files. They are encoded and standardized as in training.

        Args:
            inputs: images as an array, a tensor, PIL images or files; a table as a ``DataFrame`` or another structure
                with named columns, in any order, or as an array; users and items as a table with
                these two columns; a series as an array ``(time, features)`` or a
                ``DataFrame``; recordings as WAV files or arrays ``(samples,)``; texts, or lists of tokens.
            batch_size: number of inputs per batch; by default, that of the test.

        Returns:
            Class names and probabilities, values in their unit, tags, or decoded texts.

        Raises:
            InputError: if an input does not fit: a wrong shape, a missing column or value, an unreadable image.
        """
        from primer.prediction import predict  # Imported here: training does not need it.

        return predict(self, inputs, batch_size)

    def recommend(
        self, user: str | Sequence[str], count: int = 10, exclude: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """Recommends items: those with the highest predicted rating, or those that are most likely next.

        Args:
            user: a user of the training part; for a model of next items, the items seen so far, the latest one last,
                which are left out.
            count: the number of items.
            exclude: further items to leave out. A checkpoint does not contain ratings, so what a user has rated already
                must be given here; ``python -m primer recommend`` reads it from the data of the run.

        Returns:
            Items with their rating or probability, the best one first.

        Raises:
            InputError: if the model does not recommend items, or does not know the user or an item.
        """
        from primer.prediction.recommendation import recommend

        return recommend(self, user, count, exclude)

    def similar(self, item: str, count: int = 10) -> list[tuple[str, float]]:
        """Returns the items whose vectors are most similar to that of an item, with the cosines.

        Raises:
            InputError: if the model has no vectors of items, or does not know the item.
        """
        from primer.prediction.recommendation import similar

        return similar(self, item, count)

    # Methods for subclasses to override.

    @property
    def predicted(self) -> Spec:
        """What ``predict`` returns, as the target of a spec: that of the data, unless the model ignores it and predicts
        something of its own, such as clusters."""
        return self.spec

    @property
    def longest_input(self) -> int | None:
        """The number of tokens of the longest sequence that ``predict`` takes; None if there is no limit."""
        return None

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        """Returns functions that draw what models of this kind have learned, by the name of the picture."""
        return {}

    @property
    def outputs(self) -> int:
        """Number of outputs of the last layer, for each sample or time step."""
        return self.objective.outputs

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Computes outputs from standardized inputs. They depend only on parameters, buffers and inputs."""
        raise InputError(
            f"{type(self).__name__} does not define forward: define forward(self, inputs), or override step"
        )

    def forward_batch(self, batch: Batch) -> Tensor:
        """Computes the outputs for a batch. Override it in a model whose outputs also depend on the targets."""
        return self(batch.inputs) if batch.lengths is None else self(batch.inputs, batch.lengths)

    def step(self, batch: Batch) -> Step:
        """Computes the loss of a batch in training, validation and test. Override it in a model with a custom loss; by
        default, it is the loss of the objective."""
        outputs = self.forward_batch(batch)
        loss, count = self.objective.loss(outputs, batch.targets)  # type: ignore[arg-type]
        return Step(loss, count, outputs)

    def averaged_part(self) -> nn.Module:
        """Returns the part of the model whose weights ``regularization.ema`` averages; by default, all of it."""
        return self

    def predict_batch(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        """Returns predictions in the form of the targets. ``outputs`` avoids computing them again."""
        return self.objective.predict(self.forward_batch(batch) if outputs is None else outputs)

    def resume_state(self) -> dict[str, Any]:
        """Returns what is needed to resume, besides parameters and buffers, as tensors and plain values."""
        return {}

    def load_resume_state(self, state: dict[str, Any]) -> None:
        """Restores the result of ``resume_state``."""

    # Starting from pretrained weights.

    def freeze_groups(self, count: int) -> None:
        """Freezes the first ``count`` depth groups and unfreezes all others.

        Frozen layers do not get gradients and stay in evaluation mode, so that running statistics do not change and
        dropout is not applied. A parameter in both a frozen and a trained group is frozen.
        """
        self._frozen = count
        groups = self.depth_groups()
        frozen = {id(p) for group in groups[:count] for layer in group for p in layer.parameters()}
        for group in groups:
            for layer in group:
                for parameter in layer.parameters():
                    parameter.requires_grad_(id(parameter) not in frozen | self._fixed)
        self.train(self.training)

    def token_embedding(self) -> nn.Embedding | None:
        """Returns the layer that embeds the tokens of the inputs: the first of ``vocabulary_parameters`` that is the
        weight of an embedding of their vocabulary. None if there is none."""
        vocabulary = getattr(self.spec.input, "vocabulary", None)
        for name, words in self.vocabulary_parameters(self.spec).items():
            path, _, parameter = name.rpartition(".")
            layer = self.get_submodule(path)
            if parameter == "weight" and words == vocabulary and isinstance(layer, nn.Embedding):
                return layer
        return None

    def item_vectors(self) -> Tensor:
        """Returns the vectors ``(items, features)`` by which items are compared: by default, the embedding of the
        input tokens.

        Raises:
            InputError: if there is none.
        """
        layer = self.token_embedding()
        if layer is None:
            raise InputError(f"{type(self).__name__} has no vectors of items")
        return layer.weight

    def freeze_embeddings(self) -> None:
        """Keeps the embedding of the input tokens as it is, whatever layers are unfrozen later.

        Raises:
            InputError: if the model does not have one.
        """
        layer = self.token_embedding()
        if layer is None:
            raise InputError(f"model.freeze_embeddings=true: {type(self).__name__} does not embed words of this data")
        layer.weight.requires_grad_(False)
        self._fixed = {id(layer.weight)}

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for group in self.depth_groups()[: self._frozen] if mode and self._frozen else ():
            for layer in group:
                layer.eval()
        return self

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        """Returns the parameters with one row per vocabulary entry, and that vocabulary in ``spec``. When another run
        starts from the weights, their rows are moved to the same words in its vocabulary."""
        return {}

    @classmethod
    def torchvision_name(cls, **settings: Any) -> str | None:
        """Returns torchvision's name of the model with these settings; None if torchvision has no weights for it."""
        return None

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Converts parameters from the layout in which others publish them; None if they do not have one that the model
        knows."""
        return None

    @classmethod
    def backbone_class(cls, **settings: Any) -> type[Model] | None:
        """Returns the class of the model that a model with these settings pre-trains as its ``backbone``; None if it
        does not pre-train another."""
        return None

    # Steps and hooks that Lightning calls.

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
        return self.predict_batch(batch)

    def _evaluate(self, stage: Stage, batch: Batch) -> Tensor | None:
        if not batch.size:
            return None
        step = self.step(batch)
        self.evaluation.evaluate(stage, step, batch, lambda: self.predict_batch(batch, step.outputs))
        return step.outputs

    def on_fit_start(self) -> None:
        size = getattr(getattr(self.trainer, "datamodule", None), "batch_size", "full")
        if size == 1 and any(isinstance(layer, nn.BatchNorm1d) and layer.training for layer in self.modules()):
            raise InputError(
                "data.batch_size=1: batch normalization needs at least 2 samples; raise it, or set "
                "model.normalization=layer where the model has it"
            )
        self.find_batch_hooks()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        if not batch_idx:  # Not in an epoch hook: Lightning skips it when it resumes after the last batch of an epoch.
            self.evaluation.start_stage("train", self.device)
            self._logged.discard("train/loss")
        self._counted = False

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._latest is not None:
            self.evaluation.add_loss("train", *self._latest)
            self._latest = None
        if not self._penalized and self.has_penalty:
            raise InputError(
                f"regularization: {type(self).__name__} overrides training_step, so L1 and L2 would have no effect: "
                "override step instead, or set regularization.l1=0 regularization.l2=0"
            )
        if not self._optimized and not self.automatic_optimization and self.has_optimizer_groups():
            raise InputError(
                f"{type(self).__name__} has several optimizers, but its training_step did not call optimize: call "
                "self.optimize(name, step) for each of them, so that clipping and schedules apply"
            )
        if self.trainer.is_last_batch:  # Before validation starts, so that the metrics of an epoch are complete.
            self.log_training()
            if not self.automatic_optimization and self.has_optimizer_groups():
                self._advance_schedules("epoch")

    def training_sums(self) -> tuple[Tensor, Tensor | int]:
        """Returns the sum of the training losses in this epoch and the number of targets."""
        if self._latest is None:
            return self.evaluation.sums.get("train", (torch.zeros(()), 0))
        sums = self.evaluation.sums["train"]  # Without the latest batch, if a callback saves at its end.
        self.evaluation.sums["train"] = sums[0].clone(), sums[1]
        self.evaluation.add_loss("train", *self._latest)
        pending, self.evaluation.sums["train"] = self.evaluation.sums["train"], sums
        return pending

    def on_train_epoch_end(self) -> None:
        if not self.trainer.is_last_batch:  # max_steps or max_time ended the run within the epoch.
            self.log_training()
        self.advance_plateaus(training=True)

    def log_training(self) -> None:
        """Logs the metrics of training at the end of an epoch. Override it to log more, and call ``super()``."""
        loss = self.evaluation.mean_loss("train", self.trainer.strategy)
        self._log_unless_logged({} if loss is None else {"train/loss": loss}, on_step=False, on_epoch=True)
        groups = [group for optimizer in self.trainer.optimizers for group in optimizer.param_groups if "lr" in group]
        if groups:
            self._log_unless_logged({"lr": max(group["lr"] for group in groups)}, on_step=False, on_epoch=True)

    def on_validation_epoch_start(self) -> None:
        self._start_stage("val")

    def on_validation_epoch_end(self) -> None:
        self._finish_stage("val")
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.advance_plateaus(training=False)

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

    # Logging. Metrics that the model logs itself are never overwritten.

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


def check_hooks(kind: type[Model]) -> None:
    """Raises ``InputError`` if a model overrides one of Lightning's hooks without a call of ``super()`` although a base
    class does something in it: losses and metrics would be wrong without a word."""
    for number, owner in enumerate(kind.__mro__[: kind.__mro__.index(Model)], 1):
        bases = [base for base in kind.__mro__[number:] if base.__module__.startswith("primer.models.")]
        for hook, function in vars(owner).items():
            code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
            if not hook.startswith("on_") or code is None or {"super", hook} & set(code.co_names):
                continue
            if any(hook in vars(base) for base in bases):
                raise InputError(f"{owner.__name__}.{hook} must call super().{hook}(…): its base class uses it, too")


def default_objective(kind: type[Model], spec: Spec) -> Objective:
    """Returns the usual objective for a target, or ``ModelLoss`` for a model that ignores targets."""
    return ModelLoss(spec.target) if kind.targets is NoTarget else auto(spec.target)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
