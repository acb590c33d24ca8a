"""Strategies for training a model that starts from pretrained weights: which layers are trained, and how fast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from lightning import Callback, LightningModule, Trainer

from primer.errors import InputError
from primer.models.base import Model


class Transfer(ABC):
    """Base class of the strategies for starting from pretrained weights.

    Args:
        image_size: height and width to which images are resized; None for the size that the weights were trained on.

    Raises:
        InputError: if ``image_size`` is less than 1.
    """

    def __init__(self, image_size: int | None = None) -> None:
        if image_size is not None and image_size < 1:
            raise InputError(f"transfer.image_size must be at least 1, not {image_size}")
        self.image_size = image_size

    @abstractmethod
    def apply(self, model: Model) -> list[Callback]:
        """Prepares a model that has its weights, and returns the callbacks that the run needs."""


class Frozen(Transfer):
    """Trains the last layers only. All others are frozen, including their running statistics.

    Args:
        learn: number of groups of layers to train, counted from the last; 1 trains the last layer only.
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
                f"layers; set it to at most {groups - 1}, or use transfer=finetune"
            )
        model.freeze_groups(groups - self.learn)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise InputError(
                f"transfer.learn={self.learn} leaves nothing to train: the last layer of {type(model).__name__} shares "
                f"its weights with the embedding, which is frozen; set it to {self.learn + 1} to train a block, too"
            )
        return []


class Finetune(Transfer):
    """Trains all layers, the first ones slowly, since low-level features are similar for most images: discriminative
    learning rates (Howard and Ruder 2018, section 3.2).

    Args:
        lowest_rate: factor of the learning rate in the first layers; 1 for the same rate in all layers.
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
    """Trains the last layer first, then unfreezes one more group of layers at each of ``epochs``, and all remaining
    groups at the last of them: gradual unfreezing (Howard and Ruder 2018, section 3.3).

    Args:
        epochs: when to unfreeze, in ascending order, counted from 1.
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
    """Freezes the layers that are not trained yet. The optimizer has all parameters from the start, and skips those
    without gradients.

    Args:
        epochs: as in ``Gradual``.
    """

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = tuple(epochs)

    def frozen(self, epoch: int, groups: int) -> int:
        """Returns the number of frozen depth groups in an epoch, counted from 1."""
        passed = sum(start <= epoch for start in self.epochs)
        return 0 if passed == len(self.epochs) else max(0, groups - 1 - passed)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.world_size > 1:
            raise InputError("transfer=gradual requires a single process: use transfer=finetune or frozen with several")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        pl_module.freeze_groups(self.frozen(trainer.current_epoch + 1, len(pl_module.depth_groups())))
