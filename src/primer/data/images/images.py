"""Image data sets that torchvision fetches, checks by digest and reads."""

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
    """A published image data set in memory: bytes of shape ``(samples, channels, height, width)``.

    The files lie in ``data_dir`` where torchvision puts them. What is missing there is downloaded, once; with all of
    it there, nothing is written and no network is needed. The published test part is the test part.

    Raises:
        ValueError: where files are missing or damaged and cannot be downloaded.
    """

    inputs = Image
    targets = Classes
    source: ClassVar[Any]

    @property
    @abstractmethod
    def archives(self) -> list[Path]:
        """The files as they are published, at the place where torchvision looks for them."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, after ``read``."""
        return self._names

    def download(self) -> None:
        folder = self.archives[0].parent
        new = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            self._open(train=False, download=True)
        except InputError:
            for path in new:
                with suppress(OSError):
                    path.rmdir()  # Where nothing arrived, nothing stays.
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
        except Exception as error:  # Whatever network, disk, archive and parser raise: torchvision passes it on.
            raise InputError(self._trouble(error)) from error

    def _trouble(self, error: Exception) -> str:
        name, reason = self.source.__name__, " ".join(str(error).split()) or type(error).__name__
        folder, packed = self.archives[0].parent, ", ".join(archive.name for archive in self.archives)
        if all(archive.with_suffix("").is_file() for archive in self.archives):
            return f"{name}: a file in {folder} is damaged ({reason}); delete it, and it is fetched again"
        return (
            f"{name}: {folder} does not hold all of it, and it cannot be downloaded ({reason}); "
            f"without a network put {packed} there by hand, as published or unpacked"
        )

    def _tensors(self, dataset: Any) -> Batch:
        images, targets = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets)
        if len(images) != len(targets):
            raise InputError(self._trouble(ValueError(f"{len(images)} images, {len(targets)} labels")))
        grey = images.ndim == 3
        return Batch(images.unsqueeze(1) if grey else images.permute(0, 3, 1, 2).contiguous(), targets)


class MNIST(TorchvisionImages):
    """70,000 handwritten digits, grey, 28x28 pixels, 10,000 of them for the test (LeCun et al. 1998)."""

    source = datasets.MNIST

    @property
    def archives(self) -> list[Path]:
        return [self.data_dir / self.source.__name__ / "raw" / name for name, _ in self.source.resources]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("0123456789")


class FashionMNIST(MNIST):
    """70,000 pictures of clothes, grey, 28x28 pixels, 10,000 of them for the test (Xiao et al. 2017)."""

    source = datasets.FashionMNIST

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.source.classes)


class CIFAR10(TorchvisionImages):
    """60,000 colour photographs of 32x32 pixels in 10 classes, 10,000 of them for the test (Krizhevsky 2009)."""

    source = datasets.CIFAR10

    @property
    def archives(self) -> list[Path]:
        return [self.data_dir / self.source.filename]


class CIFAR100(CIFAR10):
    """60,000 colour photographs of 32x32 pixels in 100 classes, 10,000 of them for the test (Krizhevsky 2009)."""

    source = datasets.CIFAR100
