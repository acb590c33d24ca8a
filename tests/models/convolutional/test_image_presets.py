"""Every preset of an image model, at its full size, on pictures of 3x32x32."""

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
"""Those with 40 million parameters and more in their last layers, which want small steps."""


def test_these_are_all() -> None:
    assert len(PRESETS) == 17
    assert len(LARGE) == 9


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_it_overfits_a_batch(name: str, overfits: Callable[..., float]) -> None:
    cfg: Any = compose_checked("train", [f"model={name}", "data=cifar10"])
    settings: Any = OmegaConf.to_container(cfg.model, resolve=True)
    seed_everything(0, verbose=False)
    model = instantiate(settings, Model, spec=Spec(Image(3, 32, 32), Classes(tuple("abcdefghij"))))
    assert overfits(model, steps=60, lr=1e-4 if name in LARGE else 1e-3) == 1.0
