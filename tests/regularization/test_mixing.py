"""Mixup and cutmix: images, their targets, and the shares of both."""

from __future__ import annotations

import pytest
import torch
from helpers.augmentation import seeded, spec_of
from scipy.stats import beta, kstest
from torch import Tensor

from primer.batch import Batch
from primer.regularization import Cutmix, Mixup
from primer.regularization.augmentation.mixing import Mixing, partners
from primer.spec import Classes, NoTarget, Values

SIZE = 500


def numbered(size: int = SIZE, side: int = 4, channels: int = 1) -> Tensor:
    """Images of one shade each, its number."""
    return torch.arange(size).float().view(-1, 1, 1, 1).expand(size, channels, side, side).contiguous()


def mixed(step: Mixing, inputs: Tensor, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The images, the share of each that is its own, the number of the other one, and the targets."""
    size = len(inputs)
    made, targets, _ = step(Batch(inputs, torch.arange(size)), seeded(seed), spec_of(inputs))
    assert targets is not None
    share = targets.diagonal()
    rest = targets - torch.diag(share)
    assert torch.allclose(targets.sum(1), torch.ones(size))
    assert ((rest > 0).sum(1) <= 1).all()
    return made, share, rest.argmax(1), targets


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 4.0])
@pytest.mark.parametrize("kind", [Mixup, Cutmix])
def test_weights_are_beta_distributed(kind: type[Mixing], alpha: float) -> None:
    shares = kind(alpha, probability=1.0).shares(numbered(2000), seeded())  # type: ignore[call-arg]
    assert kstest(shares.double().numpy(), beta(alpha, alpha).cdf).pvalue > 1e-3
    assert 0 <= shares.min() <= shares.max() <= 1


def test_a_tiny_alpha_leaves_images_nearly_unmixed() -> None:
    shares = Mixup(1e-3).shares(numbered(2000), seeded())
    assert shares.isfinite().all()
    assert (shares * (1 - shares)).max() < 0.26
    assert ((shares < 1e-3) | (shares > 1 - 1e-3)).float().mean() > 0.95
    assert shares.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("step", [Mixup(1.0, probability=0.3), Cutmix(1.0, probability=0.3)])
def test_images_are_mixed_with_the_given_probability(step: Mixing) -> None:
    own = step.shares(numbered(2000), seeded())
    assert (own < 1).float().mean().item() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_partners_are_a_permutation_without_fixed_points(size: int) -> None:
    found = [partners(numbered(size), seeded(seed)) for seed in range(20)]
    for some in found:
        assert sorted(some.tolist()) == list(range(size))
        assert size == 1 or (some != torch.arange(size)).all()
    assert size < 3 or len({tuple(some.tolist()) for some in found}) > 1


def test_mixup_is_the_weighted_mean_of_images_and_targets() -> None:
    made, share, other, _ = mixed(Mixup(1.0), numbered())
    wanted = share * torch.arange(SIZE) + (1 - share) * other
    assert torch.allclose(made, wanted.view(-1, 1, 1, 1).expand_as(made), atol=1e-3)
    assert len(share.unique()) > SIZE * 0.9
    assert kstest(share.double().numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_cutmix_pastes_a_rectangle_and_weights_targets_by_area(channels: int) -> None:
    made, share, other, _ = mixed(Cutmix(1.0, probability=1.0), numbered(200, side=9, channels=channels))
    assert len(share.unique()) > 10
    for number, (image, part, wanted) in enumerate(zip(made, share, other, strict=True)):
        own = (image == number).all(0)
        foreign = (image == wanted).all(0)
        assert (own ^ foreign).all() or part == 1
        assert own.float().mean().item() == pytest.approx(part.item(), abs=1e-6)
        if not own.all():
            rows, columns = foreign.any(1), foreign.any(0)
            assert int(foreign.sum()) == int(rows.sum()) * int(columns.sum())
            assert rows.int().diff().abs().sum() <= 2
            assert columns.int().diff().abs().sum() <= 2


def test_cutmix_visible_area() -> None:
    # The side r of the rectangle has r^2 uniform; of a side about an even centre r - r^2 / 4 is seen on average.
    _, share, _, _ = mixed(Cutmix(1.0, probability=1.0), numbered(1500, side=64))
    assert (1 - share).mean().item() == pytest.approx(1 / 2 - 2 / 5 / 2 + 1 / 3 / 16, abs=0.02)


def test_cutmix_rectangles_are_placed_symmetrically() -> None:
    size, side = 1500, 16
    made, _, other, _ = mixed(Cutmix(1.0, probability=1.0), numbered(size, side=side))
    foreign = (made[:, 0] == other.view(-1, 1, 1)).float().mean(0)
    assert torch.allclose(foreign, foreign.flip(0), atol=0.06)
    assert torch.allclose(foreign, foreign.flip(1), atol=0.06)
    assert torch.allclose(foreign, foreign.T, atol=0.06)


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
    # An image of one shade is the mean of the shades that were mixed, on average over its pixels.
    wanted = batch.targets @ torch.arange(50.0)
    assert torch.allclose(batch.inputs.mean((1, 2, 3)), wanted, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_averaged(dtype: torch.dtype) -> None:
    inputs = numbered(40)
    values = torch.stack([torch.arange(40), -2 * torch.arange(40)], 1).to(dtype)
    made, targets, _ = Mixup(1.0)(Batch(inputs, values), seeded(), spec_of(inputs, Values(("x", "y"))))
    assert targets is not None
    assert targets.dtype == dtype
    assert torch.allclose(targets[:, 0], made.mean((1, 2, 3)).to(dtype), atol=1e-3)
    assert torch.allclose(targets[:, 1], -2 * targets[:, 0], atol=1e-4)


@pytest.mark.parametrize("step", [Mixup(1.0), Cutmix(1.0, 1.0)])
def test_images_without_targets_are_mixed(step: Mixing) -> None:
    inputs = numbered(40)
    made, targets, _ = step(Batch(inputs), seeded(), spec_of(inputs, NoTarget()))
    assert targets is None
    assert not torch.equal(made, inputs)
