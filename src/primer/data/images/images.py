"""Image data sets that torchvision downloads, verifies by checksum and reads."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Image, Spec


class TorchvisionImages(DataModule):
    """A published image data set, kept in memory as bytes of shape ``(samples, channels, height, width)``.

    Files are stored in ``data_dir``, in torchvision's layout. Missing files are downloaded once; if all files exist,
    nothing is written and no network access is needed. The published test part is the test part.

    Raises:
        InputError: if files are missing or damaged and cannot be downloaded.
    """

    inputs = Image
    targets = Classes
    source: ClassVar[Any]

    @property
    @abstractmethod
    def archives(self) -> list[Path]:
        """The paths at which torchvision looks for the published files."""

    @property
    def names(self) -> tuple[str, ...]:
        """The class names; available after ``read``."""
        return self._names

    def download(self) -> None:
        folder = self.archives[0].parent
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            self._open(train=False, download=True)
        except InputError:
            for path in new:
                with suppress(OSError):
                    path.rmdir()  # Remove folders that are left empty.
            raise

    def read(self) -> dict[Part, Records]:
        train, test = self._open(train=True), self._open(train=False)
        self._names = tuple(train.classes)
        return {"train": self._tensors(train), "test": self._tensors(test)}

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        _, channels, height, width = train.inputs.shape
        mean, std = moments(train.inputs)
        return Spec(Image(channels, height, width, mean, std), Classes(self.names))

    def encode(self, records: Any) -> Batch:
        return records

    def _open(self, train: bool, download: bool = False) -> Any:
        try:
            return self.source(self.data_dir, train=train, download=download)
        except Exception as error:  # torchvision passes on all kinds of network, disk, archive and parser errors.
            raise InputError(self._error_message(error)) from error

    def _error_message(self, error: Exception) -> str:
        name, reason = self.source.__name__, " ".join(str(error).split()) or type(error).__name__
        folder, archives = self.archives[0].parent, ", ".join(archive.name for archive in self.archives)
        if all(archive.with_suffix("").is_file() for archive in self.archives):
            return f"{name}: a file in {folder} is damaged ({reason}); delete it to download it again"
        return (
            f"{name}: files are missing in {folder} and cannot be downloaded ({reason}); "
            f"without network access, put {archives} there manually, as published or unpacked"
        )

    def _tensors(self, dataset: Any) -> Batch:
        images, targets = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets)
        if len(images) != len(targets):
            raise InputError(self._error_message(ValueError(f"{len(images)} images, {len(targets)} labels")))
        grayscale = images.ndim == 3
        return Batch(images.unsqueeze(1) if grayscale else images.permute(0, 3, 1, 2).contiguous(), targets)


class MNIST(TorchvisionImages):
    """70,000 grayscale images of handwritten digits, 28x28 pixels, 10,000 of them for testing (LeCun et al. 1998)."""

    source = datasets.MNIST

    @property
    def archives(self) -> list[Path]:
        return [self.data_dir / self.source.__name__ / "raw" / name for name, _ in self.source.resources]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("0123456789")


class FashionMNIST(MNIST):
    """70,000 grayscale images of clothing, 28x28 pixels, 10,000 of them for testing (Xiao et al. 2017)."""

    source = datasets.FashionMNIST

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.source.classes)


class CIFAR10(TorchvisionImages):
    """60,000 color photographs of 32x32 pixels in 10 classes, 10,000 of them for testing (Krizhevsky 2009)."""

    source = datasets.CIFAR10

    @property
    def archives(self) -> list[Path]:
        return [self.data_dir / self.source.filename]


class CIFAR100(CIFAR10):
    """60,000 color photographs of 32x32 pixels in 100 classes, 10,000 of them for testing (Krizhevsky 2009)."""

    source = datasets.CIFAR100
