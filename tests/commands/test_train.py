"""Training and evaluation commands, from the command line to the run folder."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from helpers.run_folders import epoch_of, figures

from primer.config.paths import ROOT

SHORT = "trainer.max_epochs=2"


def test_a_run_writes_all_results_to_its_folder(run_in_process) -> None:
    result = run_in_process("train.py", SHORT, "optimizer.lr=0.002")
    assert result.status == 0, result.err
    folder = result.folder
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "overrides.yaml",
        "environment.json",
        "metrics.csv",
        "metrics.json",
        "report.txt",
        "train.log",
    }
    assert expected | {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= files
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.002
    assert "${" not in (folder / "config.yaml").read_text()
    assert "optimizer.lr=0.002" in yaml.safe_load((folder / "overrides.yaml").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["train/loss"]) > 0 and float(row["val/loss"]) > 0 for row in rows)
    metrics = figures(folder)
    assert metrics["epochs"] == 2
    assert metrics["steps"] == 2 * 20
    assert {"test/accuracy", "test/loss", "val/loss", "train/loss", "fit_seconds"} <= metrics.keys()
    assert float(rows[-1]["val/loss"]) == pytest.approx(metrics["val/loss"], rel=1e-6)
    assert "17,610 parameters" in result.out
    for name in ("best", "last"):
        torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_evaluation_reproduces_the_test_metrics_of_training_exactly(run_in_process) -> None:
    folder = run_in_process("train.py", SHORT, "regularization=strong").folder
    trained = {name: value for name, value in figures(folder).items() if name.startswith(("test/", "baseline/test/"))}
    for checkpoint in (f"run={folder}", f"ckpt={folder}/checkpoints/best.ckpt"):
        result = run_in_process("evaluate.py", checkpoint)
        assert result.status == 0, result.err
        assert figures(result.folder) == trained


def test_evaluation_of_the_validation_part(run_in_process) -> None:
    result = run_in_process("train.py", SHORT)
    validated = run_in_process("evaluate.py", f"ckpt={result.folder}/checkpoints/last.ckpt", "part=val")
    assert figures(validated.folder)["test/loss"] == pytest.approx(figures(result.folder)["val/loss"], rel=1e-6)


def test_a_seed_determines_the_weights(run_in_process) -> None:
    def weights(seed: str) -> torch.Tensor:
        folder = run_in_process("train.py", SHORT, f"seed={seed}", "regularization.dropout=0.3").folder
        state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return torch.cat([tensor.flatten() for tensor in state.values()])

    first, again, other = weights("0"), weights("0"), weights("1")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_random_seed_is_recorded(run_in_process) -> None:
    seeds = []
    for _ in range(2):
        folder = run_in_process("train.py", "debug=fast", "seed=null").folder
        seeds.append(yaml.safe_load((folder / "config.yaml").read_text())["seed"])
    assert seeds[0] != seeds[1]
    assert all(isinstance(seed, int) for seed in seeds)


def test_a_sweep_runs_each_combination(run_in_process, tmp_path) -> None:
    result = run_in_process("train.py", "-m", "model=mlp,linear", "seed=0,1", "debug=fast")
    assert result.status == 0, result.err
    folders = [line.removeprefix("run: ") for line in result.out.splitlines() if line.startswith("run: ")]
    assert len(folders) == 4
    configs = [yaml.safe_load((Path(folder) / "config.yaml").read_text()) for folder in folders]
    models = [config["model"]["_target_"].split(".")[-1] for config in configs]
    assert models == ["MLP", "MLP", "Linear", "Linear"]
    assert [config["seed"] for config in configs] == [0, 1, 0, 1]


def test_early_stopping_stops(run_in_process) -> None:
    metrics = figures(
        run_in_process(
            "train.py", "trainer.max_epochs=50", "regularization.early_stopping.patience=1", "optimizer.lr=0.0"
        ).folder
    )
    assert metrics["epochs"] == 2


def test_a_diverging_run_stops_with_a_message(run_in_process) -> None:
    result = run_in_process("train.py", "data=diabetes", "optimizer=sgd", "optimizer.lr=1e12")
    assert result.status == 1
    assert re.match(r"error: diverged in step \d+ \(epoch \d+, batch \d+\): ", result.err)
    assert len(result.err.splitlines()) == 1


def test_without_validation_the_training_loss_selects_the_best_checkpoint(run_in_process) -> None:
    result = run_in_process("train.py", SHORT, "data.val_fraction=0")
    assert result.status == 0, result.err
    assert "was not logged" not in result.err
    unknown = run_in_process("train.py", SHORT, "optimized_metric=val/acuracy")
    assert unknown.status == 2
    assert "optimized_metric=val/acuracy: this run does not log that metric; did you mean val/accuracy?" in unknown.err
    assert (result.folder / "checkpoints/best.ckpt").exists()
    assert epoch_of(result.folder / "checkpoints/last.ckpt") == 1
    assert not any(name.startswith("val/") for name in figures(result.folder))


@pytest.mark.parametrize("debug", ["fast", "limit", "profile"])
def test_debug_presets(run_in_process, debug) -> None:
    result = run_in_process("train.py", f"debug={debug}")
    assert result.status == 0, result.err
    assert "/debug/runs/" in str(result.folder)


def test_debug_overfit_reaches_a_training_loss_near_zero(run_in_process) -> None:
    assert figures(run_in_process("train.py", "debug=overfit").folder)["train/loss"] < 0.05


@pytest.mark.parametrize("logger", ["none", "csv", "tensorboard"])
def test_loggers(run_in_process, logger) -> None:
    folder = run_in_process("train.py", "debug=fast", f"logger={logger}").folder
    assert (folder / "metrics.csv").exists() is (logger != "none")
    assert bool(list(folder.rglob("events.out.tfevents*"))) is (logger == "tensorboard")


@pytest.mark.parametrize(
    "flag",
    [
        "trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=1",
        "trainer.deterministic=true",
    ],
)
def test_trainer_options(run_in_process, flag) -> None:
    result = run_in_process("train.py", "debug=fast", "trainer.detect_anomaly=false", flag)
    assert result.status == 0, result.err


def test_local_settings(run_in_subprocess, tmp_path) -> None:
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    for name in ("train.py", "evaluate.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "configs/local").mkdir()
    local = "# @package _global_\nseed: 3\ntest: false\noptimizer:\n  lr: 0.0123\ntrainer:\n  max_epochs: 3\n"
    local += "samples: null\nbeam_size: 3\n"
    (tmp_path / "configs/local/default.yaml").write_text(local)
    for overrides, expected in ((), (3, 0.0123, 3)), (("experiment=mnist_lenet",), (3, 0.005, 8)):
        result = run_in_subprocess(
            "train.py", *overrides, "--cfg", "job", cwd=tmp_path, PYTHONPATH=str(tmp_path / "src")
        )
        config = yaml.safe_load(result.out)
        assert (config["seed"], config["optimizer"]["lr"], config["trainer"]["max_epochs"]) == expected
    checks = "from primer.cli.checks import check_command as c; c('evaluate', ['run=x']); c('train', [])"
    result = run_in_subprocess("-c", checks, cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
    assert result.status == 0, result.err
    train_only = "# @package _global_\ndefaults:\n  - override /logger: tensorboard\n"
    (tmp_path / "configs/local/default.yaml").write_text(train_only)
    for arguments in (("run=x",), ("--cfg", "job")):
        result = run_in_subprocess("evaluate.py", *arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
        assert result.status == 2
        assert result.err.startswith("error: configs/local/default.yaml, which both commands read: ")
        assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        (("train.py", "resume=nowhere"), "hydra.run.dir"),
        (("train.py", "optimizer.lr=-1"), "hydra.run.dir"),  # Rejected after the config has been written.
        (("train.py", "optimizer.lr=-1", "logger=tensorboard"), "hydra.run.dir"),
        (("train.py", "-m", "resume=nowhere", "hydra.sweep.subdir=."), "hydra.sweep.dir"),
        (("train.py", "resume=nowhere"), "paths.output_dir"),
        (("evaluate.py", "run=nowhere"), "hydra.run.dir"),
    ],
    ids=str,
)
def test_a_rejected_run_deletes_its_files_and_nothing_else(run_in_process, tmp_path, command, setting) -> None:
    files = {
        "thesis.txt": "years of work",
        "train.log": "of another run",
        "data/table.csv": "a,b",
        "config.yaml": "a: 1",
    }
    for name, text in files.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    result = run_in_process(*command, f"{setting}={tmp_path}/mine")
    assert result.status == 2, result.out + result.err
    left = {path.relative_to(tmp_path / "mine").as_posix() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert left - {"multirun.yaml"} == files.keys()  # Hydra writes it for a sweep.
    assert all((tmp_path / "mine" / name).read_text().endswith(files[name]) for name in files if name != "config.yaml")
    assert not list((tmp_path / "logs").rglob("*"))


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (("accelerator=gpu",), "accelerator=cpu"),
        (("accelerator=tpu",), "accelerator=cpu"),
        (("data=csv", "data.path=nowhere.csv", "data.target=y"), "nowhere.csv"),
        (("data=csv",), "data.path"),
        (("data.folds=5", "data.fold=7"), "from 0 to 4"),
        (("data.val_fraction=0.9",), "val_fraction=0.9"),
        (("regularization.dropout=1.5",), "regularization.dropout"),
        (("optimizer.lr=-1",), "optimizer.lr must be at least 0"),
        (("scheduler.warmup=1000",), "scheduler.warmup=1000"),
        (("scheduler=lambda", "scheduler.formula='__import__(1)'"), "formula"),
        (("resume=nowhere",), "nowhere"),
        (("model.hidden_sizes=[0]",), "hidden_sizes must be at least 1"),
        (("data.batch_size=1", "model.normalization=batch"), "data.batch_size=1"),
        (
            ("monitor=val/acuracy",),
            "monitor=val/acuracy: this run does not log that metric; did you mean val/accuracy?",
        ),
        (("scheduler=plateau", "scheduler.monitor=val/rmse"), "scheduler.monitor=val/rmse"),
    ],
    ids=str,
)
def test_late_mistakes_are_reported_in_one_line_too(run_in_process, tmp_path, overrides, hint) -> None:
    if overrides == ("accelerator=gpu",) and torch.cuda.is_available():
        pytest.skip("a GPU is available")
    result = run_in_process("train.py", *overrides)
    assert result.status == 2
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert hint in result.err
    assert not list((tmp_path / "logs").rglob("*.*"))


def test_a_checkpoint_with_unsafe_targets_is_rejected(run_in_process, tmp_path) -> None:
    folder = run_in_process("train.py", "debug=fast").folder
    content = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    for part, target in (
        ("model", "os.system"),
        ("model", "torch.hub.load"),
        ("objective", "primer.run.accelerators.os.system"),
    ):
        forged = {**content, "primer": {**content["primer"], part: {"_target_": target}}}
        torch.save(forged, tmp_path / "forged.ckpt")
        result = run_in_process("evaluate.py", f"ckpt={tmp_path}/forged.ckpt")
        assert result.status == 2
        assert target in result.err
    forged = {
        **content,
        "primer": {**content["primer"], "config": {**content["primer"]["config"], "data": {"_target_": "os.system"}}},
    }
    torch.save(forged, tmp_path / "forged.ckpt")
    assert "os.system" in run_in_process("evaluate.py", f"ckpt={tmp_path}/forged.ckpt").err
