"""Mixup and CutMix: images, targets, and their weights."""

from __future__ import annotations

import pytest
import torch
from helpers.augmentation import seeded, spec_of
from scipy.stats import beta, kstest
from torch import Tensor

from primer.batch import Batch
from primer.regularization import Cutmix, Mixup
from primer.regularization.augmentation.mixing import Mixing, random_partners
from primer.spec import Classes, NoTarget, Values

SIZE = 500


def numbered(size: int = SIZE, side: int = 4, channels: int = 1) -> Tensor:
    """Returns constant images, whose values are their numbers."""
    return torch.arange(size).float().view(-1, 1, 1, 1).expand(size, channels, side, side).contiguous()


def mix(step: Mixing, inputs: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the mixed images, the weight of each original image, the number of its partner, and the targets."""
    size = len(inputs)
    mixed, targets, _ = step(Batch(inputs, torch.arange(size)), seeded(seed), spec_of(inputs))
    assert targets is not None
    weight = targets.diagonal()
    rest = targets - torch.diag(weight)
    assert torch.allclose(targets.sum(1), torch.ones(size))
    assert ((rest > 0).sum(1) <= 1).all()
    return mixed, weight, rest.argmax(1), targets


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 4.0])
@pytest.mark.parametrize("kind", [Mixup, Cutmix])
def test_weights_are_beta_distributed(kind: type[Mixing], alpha: float) -> None:
    weights = kind(alpha, probability=1.0).sample_weights(numbered(2000), seeded())  # type: ignore[call-arg]
    assert kstest(weights.double().numpy(), beta(alpha, alpha).cdf).pvalue > 1e-3
    assert 0 <= weights.min() <= weights.max() <= 1


def test_a_tiny_alpha_leaves_images_nearly_unmixed() -> None:
    weights = Mixup(1e-3).sample_weights(numbered(2000), seeded())
    assert weights.isfinite().all()
    assert (weights * (1 - weights)).max() < 0.26
    assert ((weights < 1e-3) | (weights > 1 - 1e-3)).float().mean() > 0.95
    assert weights.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("step", [Mixup(1.0, probability=0.3), Cutmix(1.0, probability=0.3)])
def test_images_are_mixed_with_the_given_probability(step: Mixing) -> None:
    weights = step.sample_weights(numbered(2000), seeded())
    assert (weights < 1).float().mean().item() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_partners_are_a_permutation_without_fixed_points(size: int) -> None:
    permutations = [random_partners(numbered(size), seeded(seed)) for seed in range(20)]
    for permutation in permutations:
        assert sorted(permutation.tolist()) == list(range(size))
        assert size == 1 or (permutation != torch.arange(size)).all()
    assert size < 3 or len({tuple(permutation.tolist()) for permutation in permutations}) > 1


def test_mixup_is_the_weighted_mean_of_images_and_targets() -> None:
    mixed, weight, partner, _ = mix(Mixup(1.0), numbered())
    expected = weight * torch.arange(SIZE) + (1 - weight) * partner
    assert torch.allclose(mixed, expected.view(-1, 1, 1, 1).expand_as(mixed), atol=1e-3)
    assert len(weight.unique()) > SIZE * 0.9
    assert kstest(weight.double().numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_cutmix_pastes_a_rectangle_and_weights_targets_by_area(channels: int) -> None:
    mixed, weight, partner, _ = mix(Cutmix(1.0, probability=1.0), numbered(200, side=9, channels=channels))
    assert len(weight.unique()) > 10
    for number, (image, area, partner_number) in enumerate(zip(mixed, weight, partner, strict=True)):
        kept = (image == number).all(0)
        pasted = (image == partner_number).all(0)
        assert (kept ^ pasted).all() or area == 1
        assert kept.float().mean().item() == pytest.approx(area.item(), abs=1e-6)
        if not kept.all():
            rows, columns = pasted.any(1), pasted.any(0)
            assert int(pasted.sum()) == int(rows.sum()) * int(columns.sum())
            assert rows.int().diff().abs().sum() <= 2
            assert columns.int().diff().abs().sum() <= 2


def test_cutmix_visible_area() -> None:
    # The squared side r^2 of the rectangle is uniform. With a uniform center, r - r^2 / 4 of it is visible on average.
    _, weight, _, _ = mix(Cutmix(1.0, probability=1.0), numbered(1500, side=64))
    assert (1 - weight).mean().item() == pytest.approx(1 / 2 - 2 / 5 / 2 + 1 / 3 / 16, abs=0.02)


def test_cutmix_rectangles_are_placed_symmetrically() -> None:
    size, side = 1500, 16
    mixed, _, partner, _ = mix(Cutmix(1.0, probability=1.0), numbered(size, side=side))
    pasted = (mixed[:, 0] == partner.view(-1, 1, 1)).float().mean(0)
    assert torch.allclose(pasted, pasted.flip(0), atol=0.06)
    assert torch.allclose(pasted, pasted.flip(1), atol=0.06)
    assert torch.allclose(pasted, pasted.T, atol=0.06)


def test_classes_become_probabilities() -> None:
    inputs, classes = numbered(6), torch.tensor([0, 1, 2, 0, 1, 2])
    for step in (Mixup(1.0), Cutmix(1.0, 1.0)):
        targets = step(Batch(inputs, classes), seeded(), spec_of(inputs, Classes(("a", "b", "c")))).targets
        assert targets is not None
        assert targets.shape == (6, 3)
        assert targets.dtype == torch.float32
        assert torch.allclose(targets.sum(1), torch.ones(6))


def test_mixing_can_be_repeated() -> None:
    inputs = numbered(50)
    batch = Batch(inputs, torch.arange(50))
    for step in (Mixup(1.0), Cutmix(1.0, 1.0), Mixup(1.0)):
        batch = step(batch, seeded(len(batch.inputs)), spec_of(inputs))
    assert batch.targets is not None
    assert torch.allclose(batch.targets.sum(1), torch.ones(50))
    # The mean over the pixels of a mixed image is the weighted mean of the original values.
    expected = batch.targets @ torch.arange(50.0)
    assert torch.allclose(batch.inputs.mean((1, 2, 3)), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_averaged(dtype: torch.dtype) -> None:
    inputs = numbered(40)
    values = torch.stack([torch.arange(40), -2 * torch.arange(40)], 1).to(dtype)
    mixed, targets, _ = Mixup(1.0)(Batch(inputs, values), seeded(), spec_of(inputs, Values(("x", "y"))))
    assert targets is not None
    assert targets.dtype == dtype
    assert torch.allclose(targets[:, 0], mixed.mean((1, 2, 3)).to(dtype), atol=1e-3)
    assert torch.allclose(targets[:, 1], -2 * targets[:, 0], atol=1e-4)


@pytest.mark.parametrize("step", [Mixup(1.0), Cutmix(1.0, 1.0)])
def test_images_without_targets_are_mixed(step: Mixing) -> None:
    inputs = numbered(40)
    mixed, targets, _ = step(Batch(inputs), seeded(), spec_of(inputs, NoTarget()))
    assert targets is None
    assert not torch.equal(mixed, inputs)
