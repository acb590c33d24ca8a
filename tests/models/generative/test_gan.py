"""Generative adversarial networks: their losses, which network each step changes, and what a run reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from primer.batch import Batch
from primer.callbacks import GeneratedSamples
from primer.errors import InputError
from primer.models.generative.gan import GAN
from primer.optim import Schedule
from primer.spec import Classes, Image, NoTarget, Spec, Vector

GRAY = Spec(Image(1, 8, 8, (0.3,), (0.4,)), Classes(("a", "b", "c")))
SMALL: dict[str, Any] = {"channels": [4, 8], "noise_size": 5}
QUICK = ("trainer.max_epochs=2", "~callbacks.report", "accelerator=cpu", "model.channels=[4,8]")


@pytest.mark.parametrize("loss", ["non_saturating", "hinge", "wasserstein_gp"])
@pytest.mark.parametrize("conditional", [False, True])
def test_losses_by_hand(loss: str, conditional: bool) -> None:
    torch.manual_seed(0)
    model = GAN(GRAY, loss=loss, conditional=conditional, gradient_penalty=0.0, **SMALL)
    classes = torch.tensor([0, 2, 1, 1]) if conditional else None
    real, fake = torch.randn(4, 1, 8, 8), model.generate(torch.randn(4, 5), classes)
    d_real, d_fake = model.score(real, classes), model.score(fake, classes)
    expected = {
        "non_saturating": (-F.logsigmoid(d_real).mean() - F.logsigmoid(-d_fake).mean(), -F.logsigmoid(d_fake).mean()),
        "hinge": ((1 - d_real).clamp(min=0).mean() + (1 + d_fake).clamp(min=0).mean(), -d_fake.mean()),
        "wasserstein_gp": (d_fake.mean() - d_real.mean(), -d_fake.mean()),
    }[loss]
    assert model.discriminator_loss(real, fake, classes).item() == pytest.approx(expected[0].item(), abs=1e-5)
    assert model.generator_loss(fake, classes).item() == pytest.approx(expected[1].item(), abs=1e-5)


def test_the_gradient_penalty_of_a_linear_score() -> None:
    model = GAN(Spec(Vector(3), NoTarget()), hidden_sizes=[], **SMALL)
    weight = torch.tensor([[3.0, 4.0, 0.0]])  # Its norm, and so that of the gradient, is 5.
    model.discriminator[-1].weight.data = weight  # type: ignore[union-attr]
    penalty = model.penalize_gradient(torch.randn(6, 3), torch.randn(6, 3))
    assert penalty.item() == pytest.approx(16, rel=1e-5)


def test_generated_images_are_standardized_intensities() -> None:
    model = GAN(GRAY, **SMALL).eval()
    images = model.generate(torch.randn(20, 5)) * 0.4 + 0.3
    assert images.shape == (20, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_each_step_changes_its_own_network_only(spectral_norm: bool, quiet_trainer: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    seen: list[tuple[str, dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    class Watched(GAN):
        def optimize(self, name, step, **backward):
            before = {key: value.clone() for key, value in self.state_dict().items()}
            super().optimize(name, step, **backward)
            seen.append((name, before, {key: value.clone() for key, value in self.state_dict().items()}))

    model = Watched(GRAY, spectral_norm=spectral_norm, **SMALL)
    batches = [Batch(torch.randn(4, 1, 8, 8))] * 3
    quiet_trainer(max_steps=3, limit_val_batches=0).fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    assert [name for name, *_ in seen] == ["discriminator", "generator"] * 3
    for name, before, after in seen:
        changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
        assert changed == {name}
    # Between the steps of the discriminator, nothing but the generator's step has changed anything.
    for (_, _, after), (_, before, _) in pairwise(seen):
        differing = [
            key for key in after if key.startswith("discriminator") and not torch.equal(after[key], before[key])
        ]
        assert not differing or (spectral_norm and all("parametrizations" in key for key in differing))


def test_discriminator_steps(quiet_trainer: Callable[..., Any]) -> None:
    names: list[str] = []

    class Watched(GAN):
        def optimize(self, name, step, **backward):
            names.append(name)
            super().optimize(name, step, **backward)

    batches = [Batch(torch.randn(4, 1, 8, 8))] * 6
    model = Watched(GRAY, loss="wasserstein_gp", discriminator_steps=3, **SMALL)
    quiet_trainer(max_epochs=1, limit_val_batches=0).fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    one = ["discriminator", "generator", "discriminator", "discriminator"]
    assert names == one * 2


def test_discriminator_steps_are_counted_across_epochs_and_schedules_end_with_the_run(quiet_trainer) -> None:
    counts = dict.fromkeys(("discriminator", "generator"), 0)

    class Watched(GAN):
        def optimize(self, name, step, **backward):
            counts[name] += 1
            super().optimize(name, step, **backward)

    model = Watched(GRAY, discriminator_steps=5, **SMALL)
    model.schedule = Schedule(CosineAnnealingLR, interval="step")  # type: ignore[arg-type]
    trainer = quiet_trainer(max_epochs=10, limit_val_batches=0)
    trainer.fit(model, DataLoader([Batch(torch.randn(4, 1, 8, 8))] * 2, batch_size=None))  # type: ignore[arg-type]
    assert counts == {"discriminator": 20, "generator": 4}
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == pytest.approx([0, 0], abs=1e-9)


def test_spectral_normalization_bounds_the_weights() -> None:
    model = GAN(GRAY, spectral_norm=True, **SMALL)
    for _ in range(50):
        model.score(torch.randn(2, 1, 8, 8))
    for layer in model.discriminator:
        if hasattr(layer, "parametrizations"):
            weight = layer.weight.flatten(1)  # type: ignore[union-attr]
            assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_size": 0}, "noise_size must be at least 1"),
        ({"discriminator_steps": 0}, "discriminator_steps must be at least 1"),
        ({"gradient_penalty": -1.0}, "gradient_penalty must be at least 0"),
        ({"channels": [2] * 4}, "at least 16x16 are needed"),
    ],
)
def test_settings_out_of_range_are_rejected(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        GAN(GRAY, **settings)


def test_conditional_models_need_classes() -> None:
    with pytest.raises(InputError, match="conditional=true requires data with classes"):
        GAN(Spec(Vector(3), NoTarget()), conditional=True)


@pytest.mark.parametrize("more", [(), ("model.conditional=true", "model.loss=hinge", "model.spectral_norm=true")])
def test_a_run_draws_samples_and_logs_both_losses(more: tuple[str, ...], run_in_process) -> None:
    result = run_in_process("train.py", "model=gan", *QUICK, *more, "regularization.ema=0.9")
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert {"train/generator", "train/discriminator", "test/loss"} <= metrics.keys()
    drawn = {file.stem for file in (result.folder / "pictures").iterdir()}
    assert {"samples", "samples_over_time", "curves"} <= drawn


def test_samples_of_a_long_run_are_drawn_less_often(tmp_path: Path) -> None:
    model, drawing = GAN(GRAY, **SMALL), GeneratedSamples(tmp_path)
    for epoch in range(40):
        trainer: Any = SimpleNamespace(current_epoch=epoch, sanity_checking=False)
        drawing.on_validation_batch_start(trainer, model, None, 0)
    assert list(drawing.drawn) == [str(epoch) for epoch in range(4, 41, 4)]
    assert drawing.drawn["4"].shape == (10, 1, 8, 8)


def test_a_run_learns_the_mean_and_spread_of_a_table(run_in_process) -> None:
    import primer

    settings = ("model=gan", "data=wine", "model.noise_size=16", "optimizer.lr=0.001", "data.batch_size=32")
    length = ("trainer.max_epochs=150", "trainer.check_val_every_n_epoch=150")
    result = run_in_process("train.py", *settings, *length, "callbacks=[_checkpoint]", "accelerator=cpu")
    assert result.status == 0, result.err
    model: Any = primer.load(result.folder)
    with torch.no_grad():
        samples = model.generate(torch.randn(2000, model.noise_size, generator=torch.Generator().manual_seed(0)))
    assert samples.mean(0).abs().mean() < 0.5
    assert 0.6 < samples.std(0).mean() < 1.4
    # Alcohol and proline rise together in the data, which independent columns would miss.
    assert torch.corrcoef(samples.T)[0, 12] > 0.3


def test_a_run_resumed_within_an_epoch_equals_an_uninterrupted_one(run_in_process) -> None:
    settings = ("model=gan", *QUICK, "model.spectral_norm=true", "regularization.ema=0.9", "~callbacks.pictures")
    whole = run_in_process("train.py", *settings).folder
    stopped = run_in_process("train.py", *settings, "trainer.max_steps=25", "test=false").folder
    resumed = run_in_process("train.py", f"resume={stopped}", "trainer.max_steps=-1", "test=true", logs=False)
    assert resumed.folder == stopped, resumed.err
    first, second = (torch.load(run / "checkpoints/last.ckpt", weights_only=True) for run in (whole, stopped))
    assert first["global_step"] > 25
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
    latest = first["current_model_state"]
    changed = {
        name.split(".")[0] for name, value in first["state_dict"].items() if not torch.equal(value, latest[name])
    }
    assert changed == {"generator"}  # Only its weights are averaged.
    rows = [content["callbacks"]["GeneratedSamples"]["images_by_epoch"] for content in (first, second)]
    assert list(rows[0]) == ["1", "2"]
    assert all(torch.equal(images, rows[1][epoch]) for epoch, images in rows[0].items())
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (whole, stopped)]
    assert metrics[1] | {"fit_seconds": 0} == metrics[0] | {"fit_seconds": 0}
