"""What the base owes to every kind of model: nothing invented, nothing dropped in silence, one line for a mistake."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Train = Callable[..., Any]

QUICK = ("trainer.max_epochs=2", "~callbacks.pictures", "~callbacks.samples", "~callbacks.attention")


def metrics_of(done: Any) -> dict[str, float]:
    assert done.status == 0, done.err
    return json.loads((done.folder / "metrics.json").read_text())


def epochs_of(done: Any) -> list[dict[str, str]]:
    with (done.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def best_epoch(done: Any) -> int:
    return torch.load(done.folder / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] + 1


def refused(done: Any, tmp_path: Path) -> str:
    """The one line of a refused command, which left no run folder."""
    assert done.status == 2
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    assert not list(tmp_path.glob("logs/*/runs/*")), "a run folder is left behind"
    return lines[0]


# Nothing is invented, and nothing that a model logs is overwritten.


def test_what_a_vae_logs_itself_is_kept_and_chooses_the_best(train: Train) -> None:
    done = train("model=vae", "trainer.max_epochs=4")
    metrics, rows = metrics_of(done), epochs_of(done)
    losses = [float(row["val/loss"]) for row in rows]
    assert len(set(losses)) == 4
    assert min(losses) > 1
    assert metrics["best/val/loss"] == pytest.approx(min(losses))
    assert metrics["best/epoch"] == best_epoch(done) == 1 + losses.index(min(losses))
    assert not any("accuracy" in name or "f1" in name for name in metrics)
    assert "objective  VAE.training_step" in done.out


def test_steps_by_hand_log_only_what_they_log(train: Train) -> None:
    done = train("model=plain_gan", *QUICK)
    metrics = metrics_of(done)
    assert {name for name in metrics if "/" in name} == {"best/epoch", "test/real"}
    assert "note: PlainGAN does not log val/loss, so the best checkpoint is the latest" in done.out
    assert best_epoch(done) == 2
    assert "objective  PlainGAN.training_step" in done.out


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("regularization.l2=0.1", "regularization.l2 has no effect on PlainGAN"),
        ("regularization.l1=0.1", "regularization.l1 has no effect on PlainGAN"),
        ("scheduler=cosine", "scheduler=cosine has no effect on PlainGAN"),
        ("optimizer=sgd", "optimizer=sgd has no effect on PlainGAN"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val has no effect on PlainGAN"),
        ("trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches has no effect on PlainGAN"),
    ],
)
def test_a_setting_without_effect_is_refused(setting: str, named: str, train: Train, tmp_path: Path) -> None:
    assert named in refused(train("model=plain_gan", *QUICK, setting), tmp_path)


@pytest.mark.parametrize(
    "setting", ["optimizer=sgd", "scheduler=cosine", "regularization.ema=0.9", "trainer.max_epochs=3"]
)
def test_a_single_pass_refuses_settings_of_gradients(setting: str, train: Train, tmp_path: Path) -> None:
    assert "which is fitted in a single pass" in refused(train("model=kmeans", setting), tmp_path)


def test_a_penalty_that_an_overridden_step_would_drop_is_refused(train: Train, tmp_path: Path) -> None:
    message = refused(train("model=vae", *QUICK, "regularization.l1=0.1"), tmp_path)
    assert "VAE overrides training_step, so L1 and L2 would have no effect" in message


def test_a_loader_of_the_model_is_refused(train: Train, tmp_path: Path) -> None:
    assert "WithLoader.train_dataloader would never be called" in refused(train("model=with_loader"), tmp_path)


def test_a_run_without_a_training_step_is_an_error(train: Train) -> None:
    done = train("model=idle", *QUICK, "test=false", "data.val_fraction=0")
    assert done.status == 2
    assert "Idle took no training step" in done.err
    done = train("trainer.limit_train_batches=0", *QUICK)
    assert done.status == 2
    assert "trainer.limit_train_batches=0 leaves no training step" in done.err


def test_data_without_targets_needs_a_loss_of_the_model(train: Train, tmp_path: Path) -> None:
    assert "the model must override step" in refused(train("model=incomplete", *QUICK), tmp_path)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "sparse_adam"])
def test_optimizers_that_take_sparse_gradients_train_with_them(optimizer: str, train: Train) -> None:
    settings = ("model=word2vec", "data.sentences=100", f"optimizer={optimizer}", "regularization.l2=0.01")
    metrics = metrics_of(train(*settings, *QUICK))
    assert 0 < metrics["train/loss"] < 10


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("optimizer=adam",), "Adam does not support sparse gradients: use optimizer=sparse_adam, sgd or adagrad"),
        (("optimizer=sgd", "trainer.gradient_clip_val=1"), "sparse gradients cannot be clipped"),
    ],
)
def test_what_sparse_gradients_rule_out_is_refused(
    settings: tuple[str, ...], named: str, train: Train, tmp_path: Path
) -> None:
    assert named in refused(train("model=word2vec", "data.sentences=100", *settings), tmp_path)


# What is watched.


def test_a_metric_of_a_callback_chooses_the_best(train: Train) -> None:
    done = train("callbacks=probe", "monitor=val/probe", "mode=max", "trainer.max_epochs=3")
    assert metrics_of(done)["best/val/probe"] == 2
    assert best_epoch(done) == 3


def test_a_direction_that_nothing_knows_is_asked_for(train: Train, tmp_path: Path) -> None:
    message = refused(train("callbacks=probe", "monitor=val/probe"), tmp_path)
    assert "monitor=val/probe: set mode to min or max" in message


def test_a_metric_that_is_never_logged_is_told_with_what_there_is(train: Train) -> None:
    done = train("model=vae", "monitor=val/elbo", "mode=max", "trainer.max_epochs=2")
    assert done.status == 2
    assert "monitor=val/elbo: the model does not log that metric; it logs val/loss" in done.err


def test_a_metric_knows_its_direction(train: Train, tmp_path: Path) -> None:
    done = train("monitor=val/accuracy", "trainer.max_epochs=4", "optimizer.lr=0.01")
    accuracies = [float(row["val/accuracy"]) for row in epochs_of(done)]
    assert metrics_of(done)["best/val/accuracy"] == pytest.approx(max(accuracies))
    assert accuracies[best_epoch(done) - 1] == max(accuracies)


@pytest.mark.parametrize("overrides", [("monitor=val/accuracy", "mode=min"), ("mode=max",)])
def test_a_contradicting_direction_is_refused(overrides: tuple[str, ...], train: Train, tmp_path: Path) -> None:
    assert "contradicts monitor=val/" in refused(train(*overrides), tmp_path)


# How long a run is.


@pytest.mark.parametrize("data", ["digits", "endless"])
def test_a_run_that_ends_inside_an_epoch_reports_its_loss(data: str, train: Train) -> None:
    done = train(f"data={data}", "trainer.max_steps=5", "monitor=train/loss", "test=false")
    metrics = metrics_of(done)
    assert metrics["steps"] == 5
    assert 0 < metrics["train/loss"] < 10
    assert metrics["optimized"] == metrics["train/loss"]
    assert "was not logged" not in done.err


def test_a_limit_of_time_is_an_end(train: Train, tmp_path: Path) -> None:
    done = train("trainer.max_epochs=-1", "trainer.max_time=00:00:00:03", "test=false")
    assert metrics_of(done)["steps"] > 0
    no_end = train("trainer.max_epochs=-1")
    assert no_end.status == 2
    assert "a run needs an end: set trainer.max_epochs, trainer.max_steps or trainer.max_time" in no_end.err
    cosine = train("trainer.max_epochs=-1", "trainer.max_time=00:00:00:03", "scheduler=cosine")
    assert cosine.status == 2
    assert "this schedule needs the length of the run" in cosine.err


def test_a_plateau_follows_validations_whenever_they_are(train: Train) -> None:
    done = train(
        "scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=10", "trainer.val_check_interval=30",
        "trainer.check_val_every_n_epoch=null", "trainer.max_epochs=8", "optimizer.lr=0.001", "test=false",
    )  # fmt: skip
    assert metrics_of(done)["lr"] == pytest.approx(
        1e-3 * 0.1**5
    )  # Five validations in 160 steps, none of them good enough.


def test_the_best_epoch_is_reported_and_told(train: Train) -> None:
    done = train("optimizer.lr=0.05", "trainer.max_epochs=30", "regularization.early_stopping.patience=2")
    metrics, rows = metrics_of(done), epochs_of(done)
    best = int(metrics["best/epoch"])
    assert best == len(rows) - 2 == metrics["epochs"] - 2
    assert metrics["best/val/loss"] == pytest.approx(float(rows[best - 1]["val/loss"]))
    assert metrics["optimized"] == metrics["best/val/loss"] < metrics["val/loss"]
    assert f"test/accuracy (epoch {best})" in done.out
    assert f"val/loss (epoch {len(rows)})" in done.out


# Mistakes of someone who writes a model, a data set or a config.


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("model=no_objective",), "NoObjective.__init__ must accept objective and pass it on"),
        (("model=no_inputs",), "NoInputs does not name the inputs it accepts"),
        (("model=no_target",), "model has no _target_"),
        (("data=unfinished",), "Unfinished does not define encode, fit_spec, read"),
        (("objective=bare",), "torch.nn.CrossEntropyLoss is not an Objective"),
    ],
)
def test_a_mistake_in_code_or_config_is_one_line(
    overrides: tuple[str, ...], named: str, train: Train, tmp_path: Path
) -> None:
    assert named in refused(train(*overrides), tmp_path)


@pytest.mark.parametrize("overrides", [("scheduler=bare",), ("optimizer=bare",), ("callbacks.pictures=null",)])
def test_what_has_an_obvious_meaning_works(overrides: tuple[str, ...], train: Train) -> None:
    assert metrics_of(train(*overrides, "trainer.max_epochs=1"))["steps"] == 20
