"""Two moons."""

from __future__ import annotations

import pytest
import torch

from primer.data.tables.moons import Moons
from primer.errors import InputError


def test_points_lie_on_half_circles() -> None:
    data = Moons(samples=200, noise=0).prepare()
    part = data.parts["train"]
    centers = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[part.targets]  # type: ignore[union-attr]
    torch.testing.assert_close((part.inputs - centers).norm(dim=1), torch.ones(part.size))  # type: ignore[union-attr]


def test_the_data_depends_only_on_its_own_seed() -> None:
    first, same, other = (Moons(data_seed=seed).prepare().parts["test"].inputs for seed in (0, 0, 1))  # type: ignore[union-attr]
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="samples must be at least 4"):
        Moons(samples=3)
    with pytest.raises(InputError, match="noise must be at least 0"):
        Moons(noise=-0.1)
