"""MNIST digits as sequences of rows or pixels."""

from __future__ import annotations

from typing import Any, Literal

import torch

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.images.images import MNIST
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Series, Spec


class SequentialMNIST(MNIST):
    """MNIST images as sequences, classified after the last step. Pixels are kept as bytes in memory and standardized
    with a single mean and standard deviation.

    Args:
        by: ``rows``, 28 steps of 28 pixels from the top, or ``pixels``, 784 steps of one pixel (Le et al. 2015).
        permuted: whether to permute the pixels of all images with the same random permutation, drawn from
            ``split_seed``, which removes local structure.
        **kwargs: see ``DataModule``.

    Raises:
        InputError: if ``by`` is unknown, or the files are missing and cannot be downloaded.
    """

    inputs = Series

    def __init__(self, by: Literal["rows", "pixels"] = "rows", permuted: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if by not in ("rows", "pixels"):
            raise InputError(f"by must be one of rows, pixels, not {by!r}")
        self.by, self.permuted = by, permuted

    def read(self) -> dict[Part, Records]:
        return {part: self._sequences(images) for part, images in super().read().items()}

    def fit_spec(self, train: Any) -> Spec:
        mean, std = moments(train.inputs.unsqueeze(1))
        features = train.inputs.shape[2]
        return Spec(Series(features, mean * features, std * features), Classes(self.names))

    def _sequences(self, images: Any) -> Batch:
        pixels = images.inputs.flatten(1)
        if self.permuted:
            order = torch.randperm(pixels.shape[1], generator=torch.Generator().manual_seed(self.split_seed))
            pixels = pixels.index_select(1, order)
        features = images.inputs.shape[-1] if self.by == "rows" else 1
        return Batch(pixels.unflatten(1, (-1, features)), images.targets)
