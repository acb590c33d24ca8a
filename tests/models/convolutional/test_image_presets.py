"""Every preset of an image model at full size, on 3x32x32 images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lightning import seed_everything
from omegaconf import OmegaConf

from primer.cli.choices import groups, target_of
from primer.cli.composition import compose_checked
from primer.config.instantiate import instantiate
from primer.models.base import Model
from primer.spec import Classes, Image, Spec

FILES = ("alexnet", "vgg", "resnet", "mobilenet_v2")
PRESETS = [name for name in groups()["model"] if str(target_of("model", name)).split(".")[-2] in FILES]
LARGE = [name for name in PRESETS if name.startswith(("alexnet", "vgg"))]
"""Presets with at least 40 million parameters in their last layers, which need a small learning rate."""


def test_number_of_presets() -> None:
    assert len(PRESETS) == 17
    assert len(LARGE) == 9


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_overfits_one_batch(name: str, overfit_accuracy: Callable[..., float]) -> None:
    cfg: Any = compose_checked("train", [f"model={name}", "data=cifar10"])
    settings: Any = OmegaConf.to_container(cfg.model, resolve=True)
    seed_everything(0, verbose=False)
    model = instantiate(settings, Model, spec=Spec(Image(3, 32, 32), Classes(tuple("abcdefghij"))))
    assert overfit_accuracy(model, steps=60, lr=1e-4 if name in LARGE else 1e-3) == 1.0
