"""What every source of data offers to a run, be it a data set or an environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import lightning as L

from primer.data.loading.splits import Part
from primer.spec import Spec


class DataSource(L.LightningDataModule, ABC):
    """A ``LightningDataModule`` with a spec.

    A subclass names the types that it offers as ``inputs`` and ``targets``, so that a model that does not fit is
    rejected before anything is read.
    """

    inputs: ClassVar[Any]
    targets: ClassVar[Any]
    test_part: Part = "test"
    """The part that a test is of; evaluate.py can look at another one."""

    @property
    @abstractmethod
    def spec(self) -> Spec:
        """What the data offers; available after ``prepare``."""

    @abstractmethod
    def prepare(self) -> Self:
        """Makes the data ready, once. Returns itself."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The number of samples in each part."""
