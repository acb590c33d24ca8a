"""Each kind of training through train.py, evaluate.py and a resumed run, with models in a separate package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import primer

KINDS: dict[str, tuple[str, ...]] = {
    "small_autoencoder": (),
    "small_vae": (),
    "small_gan": ("trainer.gradient_clip_val=1", "scheduler=step", "scheduler.interval=step", "scheduler.step_size=7"),
    "small_kmeans": (),
    "skip_gram": ("optimizer=sgd", "data.sentences=200"),
    "plain_dqn": (),
    "masked_lm": ("data.sentences=200",),
    "small_simclr": ("regularization/augmentation=shift",),
}
"""The models and the overrides to train them with."""

METRICS = {
    "small_autoencoder": {"train/loss", "val/loss", "test/loss"},
    "small_vae": {"train/largest", "train/loss", "val/loss", "test/loss"},
    "small_gan": {"train/discriminator", "val/loss", "test/loss"},
    "small_kmeans": {"train/loss", "val/loss", "test/loss"},
    "skip_gram": {"train/loss", "val/loss", "test/loss"},
    "plain_dqn": {"train/loss", "val/return", "test/return"},
    "masked_lm": {"train/loss", "val/loss", "test/loss"},
    "small_simclr": {"train/loss", "val/loss", "test/loss"},
}
"""Exactly the metrics that each model logs."""


def metrics_of(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def logged(metrics: dict[str, float]) -> set[str]:
    return {name for name in metrics if name.startswith(("train/", "val/", "test/"))}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_trained_evaluated_and_loaded(kind: str, train: Callable[..., Any]) -> None:
    result = train(f"model={kind}", "trainer.max_epochs=3" if kind != "small_kmeans" else "seed=0", *KINDS[kind])
    assert result.status == 0, result.err
    metrics = metrics_of(result.folder)
    assert logged(metrics) == METRICS[kind]
    assert all(abs(value) < float("inf") for value in metrics.values())
    assert "CrossEntropy" not in result.out
    evaluation = train(f"run={result.folder}", script="evaluate.py")
    assert evaluation.status == 0, evaluation.err
    test_metrics = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert metrics_of(evaluation.folder) == pytest.approx(test_metrics, rel=1e-5)
    model: Any = primer.load(result.folder)
    best = torch.load(result.folder / "checkpoints" / "best.ckpt", weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, best["state_dict"][name]), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("small_kmeans", "small_gan")])
def test_training_improves_the_metric(kind: str, train: Callable[..., Any]) -> None:
    extra = ("data.steps_per_epoch=300", "optimizer.lr=0.003") if kind == "plain_dqn" else ()
    result = train(f"model={kind}", "trainer.max_epochs=6", "test=false", *KINDS[kind], *extra)
    rows = [line.split(",") for line in (result.folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("train/loss" if kind != "plain_dqn" else "val/return")
    first, last = float(rows[1][column]), float(rows[-1][column])
    assert last > first if kind == "plain_dqn" else last < first


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumed_within_an_epoch_equals_an_uninterrupted_one(kind: str, train: Callable[..., Any]) -> None:
    if kind == "small_kmeans":  # Its only epoch is validated twice, in the middle and at the end.
        common = ("model=small_kmeans", "trainer.val_check_interval=0.5", "trainer.check_val_every_n_epoch=1")
        whole = train(*common).folder
        expected, metrics = weights_of(whole), metrics_of(whole)
        resumed = train(*common, f"resume={whole}/checkpoints/best.ckpt")
    else:
        common = (f"model={kind}", *KINDS[kind], "trainer.max_epochs=2", "data.batch_size=32")
        common = common if kind != "plain_dqn" else common[:-1]
        whole = train(*common).folder
        expected, metrics = weights_of(whole), metrics_of(whole)
        stop = int(metrics["steps"] * 0.7)
        stopped = train(*common, f"trainer.max_steps={stop}")
        assert metrics_of(stopped.folder)["steps"] == stop
        resumed = train(f"resume={stopped.folder}", "trainer.max_steps=-1")
        assert (stopped.folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert resumed.status == 0, resumed.err
    weights = weights_of(resumed.folder)
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name
    resumed_metrics = metrics_of(resumed.folder)
    for one in (metrics, resumed_metrics):
        del one["fit_seconds"]
    assert resumed_metrics == metrics
