"""What learns, and how fast, when a model starts from trained weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer

from primer.errors import InputError
from primer.models.base import Model


class Transfer(ABC):
    """A way to start from trained weights.

    Args:
        image_size: the side to which images are resized; None for that of the images that the weights were trained on.
    """

    def __init__(self, image_size: int | None = None) -> None:
        if image_size is not None and image_size < 1:
            raise InputError(f"transfer.image_size must be at least 1, not {image_size}")
        self.image_size = image_size

    @abstractmethod
    def apply(self, model: Model) -> list[Callback]:
        """Prepares the model, whose weights are there, and gives what has to be done in the course of the run."""


class Frozen(Transfer):
    """Only the last layers learn; all others stay as they are, running statistics too.

    Args:
        learn: how many of the last groups of layers learn; 1 is the last layer alone.
        image_size: as in ``Transfer``.
    """

    def __init__(self, learn: int = 1, image_size: int | None = None) -> None:
        super().__init__(image_size)
        if learn < 1:
            raise InputError(f"transfer.learn must be at least 1, not {learn}")
        self.learn = learn

    def apply(self, model: Model) -> list[Callback]:
        groups = len(model.depth_groups())
        if self.learn >= groups:
            raise InputError(
                f"transfer.learn={self.learn} leaves nothing frozen: {type(model).__name__} has {groups} groups of "
                f"layers; at most {groups - 1} can learn, or take transfer=finetune"
            )
        model.freeze_groups(groups - self.learn)
        return []


class Finetune(Transfer):
    """Everything learns, the first layers slowly, since what they see is the same in most pictures: discriminative
    learning rates (Howard and Ruder 2018, section 3.2).

    Args:
        lowest_rate: what the learning rate is multiplied by in the first layers; 1 for one rate everywhere.
        image_size: as in ``Transfer``.
    """

    def __init__(self, lowest_rate: float = 0.3, image_size: int | None = None) -> None:
        super().__init__(image_size)
        if not 0 < lowest_rate <= 1:
            raise InputError(f"transfer.lowest_rate must be more than 0 and at most 1, not {lowest_rate}")
        self.lowest_rate = lowest_rate

    def apply(self, model: Model) -> list[Callback]:
        model.lowest_rate = self.lowest_rate
        return []


class Gradual(Finetune):
    """The last layer learns first; at each of some epochs the next group of layers joins, and at the last of these
    epochs all that are left: gradual unfreezing (Howard and Ruder 2018, section 3.3).

    Args:
        epochs: in ascending order, counted from 1.
        lowest_rate: as in ``Finetune``.
        image_size: as in ``Transfer``.
    """

    def __init__(
        self, epochs: Sequence[int] = (3, 6, 9), lowest_rate: float = 0.3, image_size: int | None = None
    ) -> None:
        super().__init__(lowest_rate, image_size)
        if not epochs or list(epochs) != sorted(set(epochs)) or epochs[0] < 1:
            raise InputError(f"transfer.epochs must be epochs in ascending order, counted from 1, not {list(epochs)}")
        self.epochs = tuple(epochs)

    def apply(self, model: Model) -> list[Callback]:
        return [*super().apply(model), Unfreezing(self.epochs)]


class Unfreezing(Callback):
    """Freezes what does not learn yet. The optimizer knows all parameters from the start, and leaves those without
    gradients alone.

    Args:
        epochs: as in ``Gradual``.
    """

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = tuple(epochs)

    def frozen(self, epoch: int, groups: int) -> int:
        """How many of the depth groups are frozen in an epoch, counted from 1."""
        passed = sum(start <= epoch for start in self.epochs)
        return 0 if passed == len(self.epochs) else max(0, groups - 1 - passed)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size > 1:
            raise InputError("transfer=gradual works in one process: with several, take transfer=finetune or frozen")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        pl_module.freeze_groups(self.frozen(trainer.current_epoch + 1, len(pl_module.depth_groups())))
