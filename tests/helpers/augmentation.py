"""What the tests of augmentation share."""

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
    """The same image again and again, with no two pixels and no two channels alike; none is black."""
    one = torch.arange(1, channels * 5 * 6 + 1).view(channels, 5, 6)
    return (one.to(dtype) if dtype == torch.uint8 else one.to(dtype) / 255).expand(size, channels, 5, 6).clone()


def spec_of(inputs: Tensor, target: Target | None = None, mean: tuple[float, ...] = ()) -> Spec:
    classes = target or Classes(tuple(str(number) for number in range(len(inputs))))
    channels, height, width = inputs.shape[1:]
    return Spec(Image(channels, height, width, mean, (1.0,) * len(mean)), classes)


def augment(step: Augmentation, inputs: Tensor, seed: int = 0, **spec: Any) -> Tensor:
    """The images that a step makes; it leaves targets and lengths alone."""
    targets = torch.arange(len(inputs))
    batch = step(Batch(inputs, targets), seeded(seed), spec_of(inputs, **spec))
    assert batch.targets is targets
    assert batch.lengths is None
    return batch.inputs


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Fails where the values are hardly from an even distribution: less likely than one in a thousand."""
    assert kstest(values.double().numpy(), "uniform", (low, high - low)).pvalue > 1e-3
    assert low - 1e-5 <= values.min() <= values.max() <= high + 1e-5


def assert_even(counts: list[int], places: int, chi_square: float) -> None:
    """Fails where some of the places are seldom or often taken, by Pearson's test."""
    expected = sum(counts) / places
    assert len(counts) == places
    assert sum((count - expected) ** 2 / expected for count in counts) < chi_square
