"""Gaussian noise on numeric inputs."""

from __future__ import annotations

import pytest
import torch
from helpers.augmentation import seeded
from scipy.stats import kstest, norm
from torch import Tensor

from primer.batch import Batch
from primer.data.tables.tables import Iris
from primer.errors import InputError
from primer.regularization import Noise
from primer.spec import Series, Spec, Values, Vector

TARGET = Values(("y",))


def add_noise(
    step: Noise, inputs: Tensor, kind: Vector | Series, lengths: Tensor | None = None, seed: int = 0
) -> Tensor:
    before = inputs.clone()
    noisy = step(Batch(inputs, None, lengths), seeded(seed), Spec(kind, TARGET))
    assert torch.equal(inputs, before)
    assert noisy.lengths is lengths
    return noisy.inputs


@pytest.mark.parametrize("shape", [(3000, 2), (100, 30, 2)])
def test_noise_is_normal_and_scaled_by_feature(shape: tuple[int, ...]) -> None:
    std = (0.5, 20.0)
    kind = Vector(2, std=std, mean=(0.0, 0.0)) if len(shape) == 2 else Series(2, std=std, mean=(0.0, 0.0))
    noise = add_noise(Noise(0.3), torch.full(shape, 7.0), kind).sub(7).flatten(0, -2).double()
    for feature, std_of_feature in enumerate(std):
        assert kstest(noise[:, feature].numpy(), norm(0, 0.3 * std_of_feature).cdf).pvalue > 1e-3
    assert torch.corrcoef(noise.T)[0, 1].abs() < 0.1


def test_bytes_are_scaled_to_the_unit_interval() -> None:
    """Pixels of a series are stored as bytes, and standardized on the unit scale."""
    pixels = torch.full((1000, 4, 1), 200, dtype=torch.uint8)
    noisy = add_noise(Noise(0.1), pixels, Series(1, mean=(0.13,), std=(0.31,)))
    assert noisy.mean().item() == pytest.approx(200 / 255, abs=0.01)
    assert noisy.std().item() == pytest.approx(0.031, rel=0.1)


def test_without_a_standard_deviation_noise_is_not_scaled() -> None:
    noise = add_noise(Noise(2.0), torch.zeros(4000, 1), Vector(1))
    assert noise.std().item() == pytest.approx(2, rel=0.1)


def test_padding_is_not_changed() -> None:
    lengths = torch.tensor([1, 4, 0])
    noisy = add_noise(Noise(), torch.zeros(3, 4, 2), Series(2), lengths)
    real = torch.arange(4) < lengths[:, None]
    assert (noisy[real] != 0).all()
    assert not noisy[~real].any()


def test_floats_keep_their_dtype_and_integers_become_floats() -> None:
    kind = Vector(1)
    assert add_noise(Noise(), torch.zeros(5, 1, dtype=torch.float64), kind).dtype == torch.float64
    assert add_noise(Noise(), torch.zeros(5, 1, dtype=torch.long), kind).dtype == torch.float32
    assert torch.equal(add_noise(Noise(0), torch.ones(5, 1), kind), torch.ones(5, 1))


def test_a_negative_std_is_rejected() -> None:
    with pytest.raises(InputError, match="Noise: std must be at least 0, not -1"):
        Noise(-1)


def test_noise_is_added_in_training_only_and_before_standardization() -> None:
    plain, noisy = (Iris(batch_size=30, augmentation=steps).prepare() for steps in ([], [Noise(0.2)]))
    torch.manual_seed(0)
    for train in (False, True):
        both = [torch.cat([batch.inputs for batch in data.loader("train", train=train)]) for data in (plain, noisy)]
        difference = both[0] - both[1]
        # After standardization, all features have the same noise.
        assert torch.allclose(difference.std(0), torch.full((4,), 0.2 if train else 0.0), atol=0.05)
