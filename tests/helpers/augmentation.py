"""Helpers for the tests of augmentation."""

from __future__ import annotations

from typing import Any

import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from primer.batch import Batch
from primer.regularization import Augmentation
from primer.spec import Classes, Image, Spec, Target

SIZE = 600


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = SIZE, dtype: torch.dtype = torch.float32, channels: int = 3) -> Tensor:
    """Returns a batch that repeats one image. All of its values differ, and none is zero."""
    image = torch.arange(1, channels * 5 * 6 + 1).view(channels, 5, 6)
    return (image.to(dtype) if dtype == torch.uint8 else image.to(dtype) / 255).expand(size, channels, 5, 6).clone()


def spec_of(inputs: Tensor, target: Target | None = None, mean: tuple[float, ...] = ()) -> Spec:
    classes = target or Classes(tuple(str(number) for number in range(len(inputs))))
    channels, height, width = inputs.shape[1:]
    return Spec(Image(channels, height, width, mean, (1.0,) * len(mean)), classes)


def augment(step: Augmentation, inputs: Tensor, seed: int = 0, **spec: Any) -> Tensor:
    """Applies an augmentation to images and checks that it leaves targets and lengths unchanged."""
    targets = torch.arange(len(inputs))
    batch = step(Batch(inputs, targets), seeded(seed), spec_of(inputs, **spec))
    assert batch.targets is targets
    assert batch.lengths is None
    return batch.inputs


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Checks that values are uniformly distributed (Kolmogorov-Smirnov test with a significance level of 0.001)."""
    assert kstest(values.double().numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert low - 1e-5 <= values.min() <= values.max() <= high + 1e-5


def assert_even(counts: list[int], categories: int, chi_square: float) -> None:
    """Checks that all categories are equally frequent (Pearson's chi-squared test)."""
    expected = sum(counts) / categories
    assert len(counts) == categories
    assert sum((count - expected) ** 2 / expected for count in counts) < chi_square
