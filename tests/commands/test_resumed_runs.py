"""Runs that resume from a checkpoint, and runs that start from the weights of another run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from helpers.run_folders import epoch_of, figures
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.run.training import train

RISING_RATE = ("monitor=lr", "scheduler=exponential", "scheduler.gamma=1.5")
"""The learning rate is monitored and rises, so that the best epoch is the first, before the interruption."""

QUIET = ("~callbacks.pictures", "~callbacks.attention")


def metrics_equal_except_times(first: Path, second: Path) -> bool:
    a, b = ({k: v for k, v in figures(folder).items() if "seconds" not in k} for folder in (first, second))
    return a == b


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (("regularization.dropout=0.3", "scheduler=exponential", "callbacks=gradients", *QUIET), 3),
        ((*RISING_RATE, "regularization.ema=0.9", *QUIET), 0),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(run_in_process, settings, best) -> None:
    uninterrupted = run_in_process("train.py", "trainer.max_epochs=4", *settings).folder
    folder = run_in_process("train.py", "trainer.max_epochs=2", *settings).folder
    assert (epoch_of(folder / "checkpoints/last.ckpt"), epoch_of(folder / "checkpoints/best.ckpt")) == (1, min(best, 1))
    assert run_in_process("train.py", "trainer.max_epochs=4", f"resume={folder}", logs=False).folder == folder
    assert (epoch_of(folder / "checkpoints/last.ckpt"), epoch_of(folder / "checkpoints/best.ckpt")) == (3, best)
    for name in ("last", "best"):
        states = [torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True) for run in (uninterrupted, folder)]
        for parameter, tensor in states[0]["state_dict"].items():
            assert torch.equal(tensor, states[1]["state_dict"][parameter]), parameter
    assert metrics_equal_except_times(uninterrupted, folder)
    for name in ("metrics.csv", *(["gradients.csv"] if "callbacks=gradients" in settings else [])):
        assert (uninterrupted / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_is_resumed_with_the_same_command_and_keeps_its_history(run_in_process, tmp_path) -> None:
    common = ("model=mlp", "data=iris", "model.hidden_sizes=[8]", *QUIET, *RISING_RATE)
    folder = run_in_process("train.py", *common, "trainer.max_epochs=1").folder
    first = json.loads((folder / "environment.json").read_text())
    for epochs in (2, 3):
        result = run_in_process("train.py", *common, f"trainer.max_epochs={epochs}", f"resume={folder}", logs=False)
        assert result.status == 0, result.err
        assert result.folder == folder
    assert epoch_of(folder / "checkpoints/best.ckpt") == 0
    whole = run_in_process("train.py", *common, "trainer.max_epochs=3").folder
    assert metrics_equal_except_times(folder, whole)
    assert (folder / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["command"] == first["command"]
    assert [one["command"][-1] for one in environment["resumed"]] == [f"resume={folder}"] * 2
    lengths = [one for one in yaml.safe_load((folder / "overrides.yaml").read_text()) if "max_epochs" in one]
    assert lengths == [f"trainer.max_epochs={epochs}" for epochs in (1, 2, 3)]
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 3

    # From the best checkpoint, which is of the first epoch: later rows are dropped.
    result = run_in_process(
        "train.py", f"resume={folder}/checkpoints/best.ckpt", "trainer.max_epochs=2", "test=false", logs=False
    )
    assert result.folder == folder
    rows = (whole / "metrics.csv").read_text().splitlines()
    assert (folder / "metrics.csv").read_text().splitlines() == rows[:3]

    # From a copy of a checkpoint alone: its config, a new folder.
    copied = shutil.copy(whole / "checkpoints/last.ckpt", tmp_path / "copied.ckpt")
    for run in (folder, whole):
        shutil.rmtree(run / "checkpoints")
    result = run_in_process("train.py", "trainer.max_epochs=4", f"resume={copied}")
    assert result.status == 0, result.err
    assert result.folder not in (folder, whole)
    assert "best.ckpt with lr=" in result.out
    assert "no longer exists; the best checkpoint is chosen from the remaining epochs" in result.out
    assert epoch_of(result.folder / "checkpoints/best.ckpt") == 3
    assert yaml.safe_load((result.folder / "config.yaml").read_text())["model"]["hidden_sizes"] == [8]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ("trainer.max_epochs=1",),
            "nothing to do; add trainer.max_epochs=2, or test the model: python evaluate.py run=",
        ),
        (
            ("model=lenet", "data=digits", "optimizer=sgd", "seed=3", "experiment=mnist_mlp", "trainer.max_epochs=3"),
            ": a resumed run cannot change experiment=mnist_mlp, seed=3 (was 0), "
            "model._target_=primer.models.convolutional.lenet.LeNet (was primer.models.feedforward.mlp.MLP), "
            "data._target_=primer.data.images.digits.Digits (was "
            "primer.data.tables.tables.Iris), optimizer._target_=torch.optim.SGD (was torch.optim.Adam); weights=",
        ),
        (("-m", "trainer.max_epochs=3"), "continues a single run, so it cannot be combined with -m"),
        (("trainer.max_epoch=3",), "did you mean max_epochs?"),
        (("scheduler=cosin",), "did you mean cosine?"),
    ],
    ids=str,
)
def test_a_resumed_run_with_other_settings_is_rejected_and_unchanged(run_in_process, iris, overrides, expected) -> None:
    before = {path: path.stat().st_mtime_ns for path in iris.rglob("*") if path.name != "train.log"}
    result = run_in_process("train.py", *overrides, f"resume={iris}", logs=False)
    assert result.status == 2
    assert len(result.err.strip().splitlines()) == 1
    assert expected in result.err
    assert {path: path.stat().st_mtime_ns for path in iris.rglob("*") if path.name != "train.log"} == before


def test_settings_that_may_change_are_taken_from_the_command(run_in_process, iris, tmp_path) -> None:
    run = shutil.copytree(iris, tmp_path / "moved")
    result = run_in_process(
        "train.py", f"resume={run}", "logger=tensorboard", "regularization/augmentation=[noise]",
        "trainer.max_epochs=2", "~callbacks.samples", "test=false", "regularization.l1=0.1", logs=False,
    )  # fmt: skip
    assert result.status == 0, result.err
    assert result.folder == run
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert list(config["regularization"]["augmentation"]) == ["noise"]
    assert set(config["logger"]) == {"csv", "tensorboard"}
    assert "samples" not in config["callbacks"]
    assert config["callbacks"]["last"]["dirpath"] == f"{run}/checkpoints"
    assert "logger=tensorboard" in yaml.safe_load((run / "overrides.yaml").read_text())


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Path:
    """The run folder of a small MLP trained on iris for an epoch."""
    folder = tmp_path_factory.mktemp("iris")
    overrides = ("data=iris", "trainer.max_epochs=1", "accelerator=cpu", "model.hidden_sizes=[7,6]")
    cfg = compose_checked("train", [*overrides, "model.activation=tanh", *QUIET])
    OmegaConf.update(cfg, "hydra", None)
    cfg.paths.output_dir = str(folder)
    train(cfg)
    return folder


@pytest.mark.parametrize(("epochs", "trained"), [(1, {"head"}), (2, {"head", "hidden"})])
def test_layers_are_unfrozen_during_a_run(run_in_process, iris, epochs, trained) -> None:
    gradual = ("transfer=gradual", "transfer.epochs=[2]", f"trainer.max_epochs={epochs}")
    result = run_in_process("train.py", "data=iris", f"weights={iris}", *gradual)
    assert result.status == 0, result.err
    files = [folder / "checkpoints/last.ckpt" for folder in (iris, result.folder)]
    before, after = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == trained


def test_weights_bring_the_settings_of_their_model(run_in_process, iris) -> None:
    result = run_in_process("train.py", "data=iris", f"weights={iris}", "model.activation=relu", "trainer.max_epochs=1")
    assert result.status == 0, result.err
    model = yaml.safe_load((result.folder / "config.yaml").read_text())["model"]
    assert (model["hidden_sizes"], model["activation"], model["dropout"]) == ([7, 6], "relu", 0.0)
    chosen = run_in_process("train.py", "data=iris", f"weights={iris}", "model=mlp", "trainer.max_epochs=1")
    assert chosen.status == 2
    assert "hidden.0.weight is (7, 4) in the weights and (128, 4) in the model; leave model=" in chosen.err
