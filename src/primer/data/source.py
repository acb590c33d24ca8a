"""Base class of all sources of data, whether data sets or environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import lightning as L

from primer.data.loading.splits import Part
from primer.spec import Spec


class DataSource(L.LightningDataModule, ABC):
    """A ``LightningDataModule`` with a spec.

    A subclass declares the types that it provides as ``inputs`` and ``targets``, so that a model that does not fit is
    rejected before any data is read.
    """

    inputs: ClassVar[Any]
    targets: ClassVar[Any]
    test_part: Part = "test"
    """The part that is tested; evaluate.py can select another one."""

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """Describes the inputs and targets; available after ``prepare``."""

    @abstractmethod
    def prepare(self) -> Self:
        """Prepares the data once, and returns itself."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Returns the number of samples in each part."""
