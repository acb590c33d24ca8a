"""What the base model guarantees to every kind of model: only logged metrics are reported, settings are never ignored
silently, and mistakes are reported in one line."""

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


def metrics_of(result: Any) -> dict[str, float]:
    assert result.status == 0, result.err
    return json.loads((result.folder / "metrics.json").read_text())


def epochs_of(result: Any) -> list[dict[str, str]]:
    with (result.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def best_epoch(result: Any) -> int:
    return torch.load(result.folder / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] + 1


def error_line(result: Any, tmp_path: Path) -> str:
    """Returns the line that a rejected command printed, and checks that it did not leave a run folder."""
    assert result.status == 2
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    assert not list(tmp_path.glob("logs/*/runs/*")), "a run folder is left behind"
    return lines[0]


# Metrics are never invented, and those that a model logs are never overwritten.


def test_metrics_logged_by_a_model_select_the_best_checkpoint(train: Train) -> None:
    result = train("model=small_vae", "trainer.max_epochs=4")
    metrics, rows = metrics_of(result), epochs_of(result)
    losses = [float(row["val/loss"]) for row in rows]
    assert len(set(losses)) == 4
    assert min(losses) > 1
    assert metrics["best/val/loss"] == pytest.approx(min(losses))
    assert metrics["best/epoch"] == best_epoch(result) == 1 + losses.index(min(losses))
    assert not any("accuracy" in name or "f1" in name for name in metrics)
    assert "objective  VAE.training_step" in result.out


def test_manual_steps_report_only_the_metrics_they_log(train: Train) -> None:
    result = train("model=plain_gan", *QUICK)
    metrics = metrics_of(result)
    assert {name for name in metrics if "/" in name} == {"best/epoch", "test/real"}
    assert "note: PlainGAN does not log val/loss, so the best checkpoint is the latest" in result.out
    assert best_epoch(result) == 2
    assert "objective  PlainGAN.training_step" in result.out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("regularization.l2=0.1", "regularization.l2 has no effect on PlainGAN"),
        ("regularization.l1=0.1", "regularization.l1 has no effect on PlainGAN"),
        ("scheduler=cosine", "scheduler=cosine has no effect on PlainGAN"),
        ("optimizer=sgd", "optimizer=sgd has no effect on PlainGAN"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val has no effect on PlainGAN"),
        ("trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches has no effect on PlainGAN"),
    ],
)
def test_a_setting_without_effect_is_rejected(setting: str, message: str, train: Train, tmp_path: Path) -> None:
    assert message in error_line(train("model=plain_gan", *QUICK, setting), tmp_path)


@pytest.mark.parametrize(
    "setting", ["optimizer=sgd", "scheduler=cosine", "regularization.ema=0.9", "trainer.max_epochs=3"]
)
def test_a_single_pass_model_rejects_gradient_settings(setting: str, train: Train, tmp_path: Path) -> None:
    assert "which is fitted in a single pass" in error_line(train("model=small_kmeans", setting), tmp_path)


def test_a_penalty_without_effect_on_an_overridden_training_step_is_rejected(train: Train, tmp_path: Path) -> None:
    message = error_line(train("model=small_vae", *QUICK, "regularization.l1=0.1"), tmp_path)
    assert "VAE overrides training_step, so L1 and L2 would have no effect" in message


def test_a_data_loader_of_the_model_is_rejected(train: Train, tmp_path: Path) -> None:
    assert "WithLoader.train_dataloader would never be called" in error_line(train("model=with_loader"), tmp_path)


def test_a_run_without_a_training_step_is_an_error(train: Train) -> None:
    done = train("model=idle", *QUICK, "test=false", "data.val_fraction=0")
    assert done.status == 1
    assert "Idle was not trained" in done.err
    done = train("trainer.limit_train_batches=0", *QUICK)
    assert done.status == 2
    assert "trainer.limit_train_batches=0 leaves no training step" in done.err


def test_data_without_targets_requires_a_custom_loss(train: Train, tmp_path: Path) -> None:
    assert "the model must override step" in error_line(train("model=incomplete", *QUICK), tmp_path)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            ("model=small_autoencoder", "regularization.dropout=0.3"),
            "regularization.dropout has no effect on Autoencoder",
        ),
        (("model=mlp", "regularization.stochastic_depth=0.3"), "regularization.stochastic_depth has no effect on MLP"),
        (
            ("model=small_vae", "regularization.label_smoothing=0.1"),
            "regularization.label_smoothing has no effect on VAE",
        ),
        (
            ("data=diabetes", "regularization.label_smoothing=0.1"),
            "regularization.label_smoothing has no effect on MLP",
        ),
        (("model=small_gan", "scheduler=plateau"), "scheduler needs a metric, and GAN does not name one"),
    ],
)
def test_regularization_and_schedules_without_effect_are_refused(
    settings: tuple[str, ...], named: str, train: Train, tmp_path: Path
) -> None:
    assert named in error_line(train(*settings), tmp_path)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "sparse_adam"])
def test_optimizers_that_support_sparse_gradients_train_with_them(optimizer: str, train: Train) -> None:
    settings = ("model=skip_gram", "data.sentences=100", f"optimizer={optimizer}")
    metrics = metrics_of(train(*settings, *QUICK))
    assert 0 < metrics["train/loss"] < 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("optimizer=adam",), "Adam does not support sparse gradients: use optimizer=sparse_adam, sgd or adagrad"),
        (("optimizer=sgd", "trainer.gradient_clip_val=1"), "sparse gradients cannot be clipped"),
        (("optimizer=sgd", "regularization.l2=0.1"), "SkipGram has no dense weights that L1 or L2 could act on"),
    ],
)
def test_settings_that_do_not_support_sparse_gradients_are_rejected(
    settings: tuple[str, ...], message: str, train: Train, tmp_path: Path
) -> None:
    assert message in error_line(train("model=skip_gram", "data.sentences=100", *settings), tmp_path)


# Monitored metrics.


def test_a_metric_of_a_callback_selects_the_best_checkpoint(train: Train) -> None:
    result = train("callbacks=probe", "monitor=val/probe", "mode=max", "trainer.max_epochs=3")
    assert metrics_of(result)["best/val/probe"] == 2
    assert best_epoch(result) == 3


def test_an_unknown_direction_requires_mode(train: Train, tmp_path: Path) -> None:
    message = error_line(train("callbacks=probe", "monitor=val/probe"), tmp_path)
    assert "monitor=val/probe: set mode to min or max" in message


def test_the_error_for_a_metric_that_is_never_logged_lists_those_that_are(train: Train) -> None:
    result = train("model=small_vae", "monitor=val/elbo", "mode=max", "trainer.max_epochs=2")
    assert result.status == 1
    assert "monitor=val/elbo: the model does not log that metric; it logs val/loss" in result.err


def test_the_direction_of_a_known_metric_is_set(train: Train, tmp_path: Path) -> None:
    result = train("monitor=val/accuracy", "trainer.max_epochs=4", "optimizer.lr=0.01")
    accuracies = [float(row["val/accuracy"]) for row in epochs_of(result)]
    assert metrics_of(result)["best/val/accuracy"] == pytest.approx(max(accuracies))
    assert accuracies[best_epoch(result) - 1] == max(accuracies)


@pytest.mark.parametrize("overrides", [("monitor=val/accuracy", "mode=min"), ("mode=max",)])
def test_a_contradicting_mode_is_rejected(overrides: tuple[str, ...], train: Train, tmp_path: Path) -> None:
    assert "contradicts monitor=val/" in error_line(train(*overrides), tmp_path)


# Length of a run.


@pytest.mark.parametrize("data", ["digits", "endless"])
def test_a_run_that_ends_within_an_epoch_reports_its_loss(data: str, train: Train) -> None:
    result = train(f"data={data}", "trainer.max_steps=5", "monitor=train/loss", "test=false")
    metrics = metrics_of(result)
    assert metrics["steps"] == 5
    assert 0 < metrics["train/loss"] < 10
    assert metrics["optimized"] == metrics["train/loss"]
    assert "was not logged" not in result.err


def test_a_time_limit_ends_a_run(train: Train, tmp_path: Path) -> None:
    result = train("trainer.max_epochs=-1", "trainer.max_time=00:00:00:03", "test=false")
    assert metrics_of(result)["steps"] > 0
    no_end = train("trainer.max_epochs=-1")
    assert no_end.status == 2
    assert "a run needs an end: set trainer.max_epochs, trainer.max_steps or trainer.max_time" in no_end.err
    cosine = train("trainer.max_epochs=-1", "trainer.max_time=00:00:00:03", "scheduler=cosine")
    assert cosine.status == 2
    assert "this schedule needs the length of the run" in cosine.err


def test_a_plateau_schedule_steps_after_each_validation(train: Train) -> None:
    result = train(
        "scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=10", "trainer.val_check_interval=30",
        "trainer.check_val_every_n_epoch=null", "trainer.max_epochs=8", "optimizer.lr=0.001", "test=false",
    )  # fmt: skip
    # Five validations in 160 steps; no improvement reaches the threshold.
    assert metrics_of(result)["lr"] == pytest.approx(1e-3 * 0.1**5)


def test_the_best_epoch_is_reported(train: Train) -> None:
    result = train("optimizer.lr=0.05", "trainer.max_epochs=30", "regularization.early_stopping.patience=2")
    metrics, rows = metrics_of(result), epochs_of(result)
    best = int(metrics["best/epoch"])
    assert best == len(rows) - 2 == metrics["epochs"] - 2
    assert metrics["best/val/loss"] == pytest.approx(float(rows[best - 1]["val/loss"]))
    assert metrics["optimized"] == metrics["best/val/loss"] < metrics["val/loss"]
    assert f"test/accuracy (epoch {best})" in result.out
    assert f"val/loss (epoch {len(rows)})" in result.out


# Mistakes in a custom model, data set or config.


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=no_objective",), "NoObjective.__init__ must accept objective and pass it on"),
        (("model=no_inputs",), "NoInputs does not declare the inputs it accepts"),
        (("model=no_target",), "model has no _target_"),
        (("data=unfinished",), "Unfinished does not define encode, fit_spec, read"),
        (("objective=bare",), "torch.nn.CrossEntropyLoss is not an Objective"),
    ],
)
def test_a_mistake_in_code_or_config_is_one_line(
    overrides: tuple[str, ...], message: str, train: Train, tmp_path: Path
) -> None:
    assert message in error_line(train(*overrides), tmp_path)


@pytest.mark.parametrize("overrides", [("scheduler=bare",), ("callbacks.pictures=null",)])
def test_configs_with_omitted_fields_work(overrides: tuple[str, ...], train: Train) -> None:
    assert metrics_of(train(*overrides, "trainer.max_epochs=1"))["steps"] == 20


def test_an_override_without_super_of_a_hook_that_the_base_uses_is_rejected(train: Train, tmp_path: Path) -> None:
    message = error_line(train("model=forgetful"), tmp_path)
    assert "Forgetful.on_validation_epoch_start must call super().on_validation_epoch_start" in message


def test_a_sweep_is_told_the_best_epoch_of_a_training_metric_too(train: Train) -> None:
    result = train("monitor=train/loss", "optimizer=sgd", "optimizer.lr=1.5", "trainer.max_epochs=4", "test=false")
    metrics, losses = metrics_of(result), [float(row["train/loss"]) for row in epochs_of(result)]
    assert metrics["optimized"] == metrics["best/train/loss"] == pytest.approx(min(losses))
    assert losses[int(metrics["best/epoch"]) - 1] == min(losses)


def test_a_training_metric_can_be_monitored_with_validations_within_an_epoch(train: Train) -> None:
    result = train("monitor=train/loss", "trainer.val_check_interval=0.5", "trainer.max_epochs=2", "test=false",
                   "regularization.early_stopping.patience=5")  # fmt: skip
    assert metrics_of(result)["best/epoch"] == 2


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (("resume={run}",), "1 epochs are done, so trainer.max_epochs=1 leaves nothing to do"),
        (("weights={run}",), "weights has no effect on KMeans, which is fitted in a single pass"),
        (("trainer.num_sanity_val_steps=2",), "trainer.num_sanity_val_steps has no effect on KMeans"),
    ],
)
def test_what_a_single_pass_cannot_continue_is_rejected(overrides: tuple[str, ...], named: str, train: Train) -> None:
    run = train("model=small_kmeans", "test=false").folder
    result = train("model=small_kmeans", *(text.format(run=run) for text in overrides))
    assert result.status == 2
    assert named in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_setting_that_a_class_does_not_have_is_told_with_its_settings(train: Train, tmp_path: Path) -> None:
    message = error_line(train("model=plain_dqn", "+data.num_env=3"), tmp_path)
    assert "CartPole does not accept num_env; did you mean num_envs?" in message


# Probes: they apply to a kind of model, or say why not.


@pytest.mark.parametrize(
    ("model", "probe", "message"),
    [
        ("small_kmeans", "lr_find", "KMeans learns without gradients"),
        ("small_kmeans", "batch_size", "KMeans learns without gradients"),
        ("small_gan", "lr_find", "GAN has several optimizers"),
        ("plain_gan", "lr_find", "PlainGAN has several optimizers or steps them manually"),
        ("plain_dqn", "batch_size", "CartPole does not have a batch size"),
    ],
)
def test_a_probe_that_does_not_apply_is_rejected(
    model: str, probe: str, message: str, train: Train, tmp_path: Path
) -> None:
    assert f"probe={probe}: {message}" in error_line(train(f"model={model}", f"debug={probe}"), tmp_path)


@pytest.mark.parametrize("model", ["small_kmeans", "small_gan", "plain_dqn", "small_vae"])
def test_every_kind_of_model_has_a_summary(model: str, train: Train) -> None:
    metrics = metrics_of(train(f"model={model}", "debug=summary"))
    assert (metrics["summary/parameters"] > 0) == (model != "small_kmeans")


def test_the_learning_rate_of_a_model_with_its_own_training_step_is_found(train: Train) -> None:
    assert metrics_of(train("model=small_vae", "debug=lr_find"))["lr_find/lr"] > 0
