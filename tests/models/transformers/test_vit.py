"""The Vision Transformer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from lightning import seed_everything

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.transformers.vit import ViT
from primer.optim import Muon, Schedule
from primer.spec import Classes, Image, Spec, Values

TEN = Classes(tuple("0123456789"))
SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "num_layers": 2}
BASE: dict[str, Any] = {"patch_size": 16, "hidden_size": 768, "num_heads": 12, "num_layers": 12}


def test_the_preset_has_the_published_number_of_parameters(parameter_counts: Any) -> None:
    from primer.cli.composition import compose_resolved

    settings = compose_resolved("train", ["model=vit_b_16"], "unused")["model"]
    settings.pop("_target_")
    assert ViT.torchvision_name(**settings) == "vit_b_16"
    ours, theirs = parameter_counts(ViT, **settings)
    assert ours == theirs == 86_567_656


@pytest.mark.slow
def test_outputs_equal_those_of_torchvision(outputs_and_torchvision_outputs: Any) -> None:
    ours, theirs = outputs_and_torchvision_outputs(ViT, **BASE)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_outputs_of_a_small_model_equal_those_of_torchvision() -> None:
    from torchvision.models import VisionTransformer

    seed_everything(0, verbose=False)
    theirs = VisionTransformer(28, 7, 2, 2, 16, 64, num_classes=10).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = ViT(Spec(Image(3, 28, 28), TEN), 7, **SMALL).eval()
    state = ViT.from_published(theirs.state_dict())
    assert state is not None
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 28, 28)
    torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(("channels", "side", "patch_size"), [(1, 8, 4), (3, 28, 7)])
def test_overfits_one_batch(pooling: str, channels: int, side: int, patch_size: int, overfit_accuracy: Any) -> None:
    seed_everything(0, verbose=False)
    network = ViT(Spec(Image(channels, side, side), TEN), patch_size, pooling=pooling, **SMALL)
    assert overfit_accuracy(network, steps=60, lr=5e-3) == 1.0


def test_learns_digits(quiet_trainer: Any, record_figure: Callable[[str], None]) -> None:
    data = Digits(batch_size=64, eval_batch_size=512).prepare()
    torch.manual_seed(0)
    network = ViT(data.spec, hidden_size=48, num_heads=4, num_layers=2)
    network.optimizer = partial(Muon, lr=0.01)
    network.schedule = Schedule(
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.01, cycle_momentum=False), interval="step"
    )
    trainer = quiet_trainer(max_epochs=12, limit_val_batches=0)
    trainer.fit(network, data)
    accuracy = trainer.test(network, data, verbose=False)[0]["test/accuracy"]
    record_figure(f"digits, a small ViT, 12 epochs: {accuracy:.4f}; the most frequent class: 0.10")
    assert accuracy > 0.9


@pytest.mark.parametrize(
    ("shape", "patch_size", "patches"),
    [((8, 8), None, 16), ((28, 28), None, 49), ((224, 224), None, 64), ((40, 32), None, 56), ((28, 28), 16, 4)],
)
def test_any_image_is_divided_into_patches(shape: tuple[int, int], patch_size: int | None, patches: int) -> None:
    network = ViT(Spec(Image(3, *shape), TEN), patch_size, pooling="mean", **SMALL)
    assert network.positions.num_embeddings == patches
    assert network(torch.randn(2, 3, *shape)).shape == (2, 10)


def test_each_patch_is_seen_at_its_position() -> None:
    torch.manual_seed(0)
    network = ViT(Spec(Image(1, 8, 8), TEN), 4, **SMALL).eval()
    images = torch.randn(1, 1, 8, 8)
    moved = torch.cat([images[..., 4:], images[..., :4]], dim=-1)
    assert not torch.isclose(network(images), network(moved)).all()
    torch.nn.init.zeros_(network.positions.weight)
    torch.testing.assert_close(network(images), network(moved))


def test_stochastic_depth_increases_linearly() -> None:
    network = ViT(Spec(Image(1, 8, 8), Values(("y",))), stochastic_depth=0.2, hidden_size=16, num_heads=2, num_layers=4)
    assert [block.skip.p for block in network.blocks] == pytest.approx([0.05, 0.1, 0.15, 0.2])  # type: ignore[union-attr]


def test_settings_out_of_range_are_errors() -> None:
    with pytest.raises(InputError, match="patch_size must be at least 1, not 0"):
        ViT(Spec(Image(1, 8, 8), TEN), 0)
    with pytest.raises(InputError, match="hidden_size=16 must be a multiple of num_heads=3"):
        ViT(Spec(Image(1, 8, 8), TEN), hidden_size=16, num_heads=3)
