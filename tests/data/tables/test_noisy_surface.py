"""The noisy surface, and the noise level of each part."""

import math

import pytest
import torch

from primer.data.tables.noisy_surface import NoisySurface, surface
from primer.errors import InputError
from primer.spec import Values, Vector


def noise_of(part):
    return part.targets - surface(part.inputs)[:, None]


def test_surface_matches_its_formula():
    points = torch.tensor([[0.5, 0.0], [-0.5, 0.0], [0.5, 1.0], [0.25, 0.5], [0.0, 0.3]])
    expected = torch.tensor([1.0, -1.0, 0.0, math.sin(math.pi / 4) * math.cos(math.pi / 4), 0.0])
    assert surface(points).allclose(expected, atol=1e-6)


def test_points_lie_in_the_square_and_the_surface_has_the_documented_standard_deviation():
    data = NoisySurface(samples=20000, noise=0).prepare()
    everything = torch.cat([part.inputs for part in data.parts.values()])
    assert everything.abs().max() <= 1
    assert everything.mean(0).abs().max() < 0.02
    assert surface(everything).std().item() == pytest.approx(0.5, abs=0.01)


def test_the_test_part_can_have_a_different_noise_level():
    data = NoisySurface(samples=6000, noise=0.1, test_noise=0.4).prepare()
    for part, level in (("train", 0.1), ("val", 0.1), ("test", 0.4)):
        noise = noise_of(data.parts[part])
        assert noise.std().item() == pytest.approx(level, rel=0.1)
        assert noise.mean().abs() < level / 5


def test_the_test_part_has_the_training_noise_level_by_default():
    data = NoisySurface(samples=6000, noise=0.2).prepare()
    assert noise_of(data.parts["test"]).std().item() == pytest.approx(0.2, rel=0.1)


def test_without_test_noise_targets_are_the_surface():
    data = NoisySurface(samples=100, noise=0.3, test_noise=0).prepare()
    assert noise_of(data.parts["test"]).abs().max() == 0
    assert noise_of(data.parts["train"]).std() > 0.1


def test_noise_is_fixed_per_sample():
    """The noise level scales it; the split and the global seed do not change it."""

    def table(data):
        parts = data.prepare().parts.values()
        inputs, noise = torch.cat([part.inputs for part in parts]), torch.cat([noise_of(part) for part in parts])
        order = inputs[:, 0].argsort()
        return inputs[order], noise[order]

    inputs, noise = table(NoisySurface(samples=200, noise=0.1))
    torch.manual_seed(5)
    for other, factor in (
        (NoisySurface(samples=200, noise=0.1), 1),
        (NoisySurface(samples=200, noise=0.2), 2),
        (NoisySurface(samples=200, noise=0.1, split_seed=3), 1),
        (NoisySurface(samples=200, noise=0.1, folds=4, fold=1), 1),
    ):
        other_inputs, scaled = table(other)
        assert other_inputs.equal(inputs)
        assert scaled.allclose(noise * factor, atol=1e-6)
    assert not table(NoisySurface(samples=200, noise=0.1, data_seed=1))[0].equal(inputs)


def test_statistics_are_computed_on_noisy_training_targets():
    data = NoisySurface(samples=300, noise=0.5, test_noise=5).prepare()
    train = data.parts["train"]
    assert isinstance(data.spec.input, Vector)
    assert isinstance(data.spec.target, Values)
    assert data.spec.target.names == ("z",)
    assert data.spec.target.std[0] == pytest.approx(train.targets.std(correction=0).item(), rel=1e-5)
    assert data.spec.target.mean[0] == pytest.approx(train.targets.mean().item(), abs=1e-6)
    assert data.spec.input.mean == pytest.approx(train.inputs.mean(0).tolist(), abs=1e-6)


@pytest.mark.parametrize("settings", [{"noise": -1.0}, {"test_noise": -1.0}, {"samples": 0}])
def test_invalid_settings_are_rejected(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"{name} must be at least"):
        NoisySurface(**settings)
