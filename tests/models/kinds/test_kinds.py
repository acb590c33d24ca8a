"""Each kind of learning through train.py, evaluate.py and a resumed run, with models in a package of your own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import primer

KINDS: dict[str, tuple[str, ...]] = {
    "autoencoder": (),
    "vae": (),
    "gan": ("trainer.gradient_clip_val=1", "scheduler=step", "scheduler.interval=step", "scheduler.step_size=7"),
    "kmeans": (),
    "word2vec": ("optimizer=sgd", "data.sentences=200"),
    "dqn": (),
    "masked_lm": ("data.sentences=200",),
    "simclr": ("regularization/augmentation=shift",),
}
"""The models, and what is typed to train them."""

LOSSES = {
    "autoencoder": {"train/loss", "val/loss", "test/loss"},
    "vae": {"train/loss", "val/loss", "test/loss"},
    "gan": {"train/discriminator", "val/loss", "test/loss"},
    "kmeans": {"train/loss", "val/loss", "test/loss"},
    "word2vec": {"train/loss", "val/loss", "test/loss"},
    "dqn": {"train/loss", "val/return", "test/return"},
    "masked_lm": {"train/loss", "val/loss", "test/loss"},
    "simclr": {"train/loss", "val/loss", "test/loss"},
}
"""What each of them logs, and nothing else."""


def metrics_of(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def logged(metrics: dict[str, float]) -> set[str]:
    return {name for name in metrics if name.startswith(("train/", "val/", "test/"))}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_trained_evaluated_and_loaded(kind: str, train: Callable[..., Any]) -> None:
    done = train(f"model={kind}", "trainer.max_epochs=3" if kind != "kmeans" else "seed=0", *KINDS[kind])
    assert done.status == 0, done.err
    metrics = metrics_of(done.folder)
    assert logged(metrics) == LOSSES[kind]
    assert all(abs(value) < float("inf") for value in metrics.values())
    assert "CrossEntropy" not in done.out
    again = train(f"run={done.folder}", script="evaluate.py")
    assert again.status == 0, again.err
    tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert metrics_of(again.folder) == pytest.approx(tested, rel=1e-5)
    model: Any = primer.load(done.folder)
    best = torch.load(done.folder / "checkpoints" / "best.ckpt", weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, best["state_dict"][name]), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("kmeans", "gan")])
def test_a_kind_learns(kind: str, train: Callable[..., Any]) -> None:
    more = ("data.steps_per_epoch=300", "optimizer.lr=0.003") if kind == "dqn" else ()
    done = train(f"model={kind}", "trainer.max_epochs=6", "test=false", *KINDS[kind], *more)
    rows = [line.split(",") for line in (done.folder / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("train/loss" if kind != "dqn" else "val/return")
    first, last = float(rows[1][column]), float(rows[-1][column])
    assert last > first if kind == "dqn" else last < first


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumed_inside_an_epoch_equals_the_unbroken_one(kind: str, train: Callable[..., Any]) -> None:
    if kind == "kmeans":  # Its only pass is validated twice; the first validation is in the middle.
        common = ("model=kmeans", "trainer.val_check_interval=0.5", "trainer.check_val_every_n_epoch=1")
        whole = train(*common).folder
        rest = train(*common, f"resume={whole}/checkpoints/best.ckpt")
    else:
        common = (f"model={kind}", *KINDS[kind], "trainer.max_epochs=2", "data.batch_size=32")
        common = common if kind != "dqn" else common[:-1]
        whole = train(*common).folder
        steps = metrics_of(whole)["steps"]
        inside = int(steps * 0.7)
        broken = train(*common, f"trainer.max_steps={inside}")
        assert metrics_of(broken.folder)["steps"] == inside
        rest = train(*common, f"resume={broken.folder}")
    assert rest.status == 0, rest.err
    mine, theirs = weights_of(rest.folder), weights_of(whole)
    for name, value in theirs.items():
        assert torch.equal(mine[name], value), name
    timeless = [{k: v for k, v in metrics_of(folder).items() if k != "fit_seconds"} for folder in (rest.folder, whole)]
    assert timeless[0] == timeless[1]
