"""Regularization settings and presets."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from primer.cli.choices import groups
from primer.cli.composition import compose_checked
from primer.config.instantiate import instantiate
from primer.errors import InputError
from primer.regularization import EarlyStopping, Flip, Regularization, Shift


@pytest.mark.parametrize("preset", groups()["regularization"])
def test_presets(preset: str) -> None:
    node = OmegaConf.to_container(compose_checked("train", [f"regularization={preset}"]).regularization, resolve=True)
    regularization = instantiate(node, Regularization)
    assert isinstance(regularization.early_stopping, EarlyStopping)
    assert regularization.augmentation == {}
    expected = {"none": (0.0, 0.0, 0.0, None), "light": (0.1, 1e-4, 0.0, 10), "strong": (0.5, 1e-3, 0.1, 5)}
    patience = regularization.early_stopping.patience
    assert (regularization.dropout, regularization.l2, regularization.label_smoothing, patience) == expected[preset]


def test_settings_can_be_overridden_individually() -> None:
    overrides = ["regularization=light", "regularization.dropout=0.3", "regularization/augmentation=crop_flip"]
    config = compose_checked("train", [*overrides, "regularization.augmentation.shift.padding=2"])
    regularization = instantiate(OmegaConf.to_container(config.regularization, resolve=True), Regularization)
    assert (regularization.dropout, regularization.l2, regularization.early_stopping.patience) == (0.3, 1e-4, 10)
    assert {name: type(step) for name, step in regularization.augmentation.items()} == {"flip": Flip, "shift": Shift}
    assert regularization.augmentation["shift"].padding == 2
    assert config.model.dropout == 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "regularization.dropout must be at least 0 and less than 1, not 1.0"),
        ({"dropout": -0.1}, "regularization.dropout must be at least 0"),
        ({"label_smoothing": 1.0}, "regularization.label_smoothing must be at least 0 and less than 1, not 1.0"),
        ({"l1": -1.0}, "regularization.l1 must be finite and at least 0, not -1.0"),
        ({"l1": float("nan")}, "regularization.l1 must be finite and at least 0, not nan"),
        ({"l2": float("inf")}, "regularization.l2 must be finite and at least 0, not inf"),
        ({"l2": -1.0}, "regularization.l2 must be finite and at least 0, not -1.0"),
    ],
)
def test_values_out_of_range_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Regularization(**settings)


def test_a_negative_patience_is_rejected() -> None:
    assert EarlyStopping(0).patience == 0
    with pytest.raises(InputError, match="patience must be at least 0, or null, not -1"):
        EarlyStopping(-1)
    for number in (-1e-9, float("inf"), float("nan")):
        with pytest.raises(InputError, match="min_delta must be at least 0 and finite"):
            EarlyStopping(5, number)


def test_entries_that_are_not_augmentations_are_dropped_or_rejected() -> None:
    flip = Flip()
    regularization = Regularization(augmentation={"flip": flip, "shift": {"padding": 2}, "rotate": None})
    assert regularization.augmentation == {"flip": flip}
    with pytest.raises(
        InputError, match=r"regularization.augmentation.flip must be an Augmentation, not EarlyStopping"
    ):
        Regularization(augmentation={"flip": EarlyStopping()})
