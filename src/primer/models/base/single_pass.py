"""Base class of models that are fitted in a single pass over the data, without gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from primer.errors import InputError
from primer.models.base.gradient_free import GradientFree
from primer.objectives import Objective
from primer.spec import Spec


class SinglePass(GradientFree):
    """A model that computes its buffers from the whole training part at once, such as k-means or a decision tree.

    A subclass registers its buffers in the constructor, with any size, lists their names in ``fitted``, and fills them
    in ``fit``. It does not have an optimizer: the run computes the loss on the training part for one epoch and ends.

    Attributes:
        fitted: names of the buffers that ``fit`` fills. Their sizes may depend on the data: loading a checkpoint
            resizes them.
        is_fitted: whether ``fit`` has been called.
    """

    fitted: ClassVar[tuple[str, ...]] = ()
    is_fitted: Tensor

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        self.register_buffer("is_fitted", torch.tensor(False))

    @abstractmethod
    def fit(self, train: Any) -> None:
        """Fills the buffers.

        Args:
            train: the whole training part as a ``Batch``, standardized but not augmented, or the ``Dynamics`` of an
                environment, on the model's device.
        """

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.world_size > 1:
            raise InputError(f"{type(self).__name__} is fitted in one process: set accelerator.devices=1")

    def on_fit_start(self) -> None:
        super().on_fit_start()
        if self.trainer.max_epochs not in (None, -1):
            self.trainer.fit_loop.max_epochs = 1

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.is_fitted:  # Resumed.
            return
        data = getattr(self.trainer, "datamodule", None)
        if data is None:
            raise InputError(f"{type(self).__name__} is fitted to a DataModule: pass one to Trainer.fit")
        with torch.no_grad():
            self.fit(data.whole("train").to(self.device))
            self.is_fitted.fill_(True)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in self.fitted:
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and saved.shape != getattr(self, name).shape:
                setattr(self, name, torch.empty_like(saved, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)  # type: ignore[arg-type]
