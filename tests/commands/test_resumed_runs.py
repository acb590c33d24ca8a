"""Runs that resume from a checkpoint, and runs that start from the weights of another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.run_folders import epoch_of, figures
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.run.training import train

RISING_RATE = ("monitor=lr", "scheduler=exponential", "scheduler.gamma=1.5")
"""The learning rate is monitored and rises, so that the best epoch is the first, before the interruption."""


def metrics_equal_except_times(first: Path, second: Path) -> bool:
    a, b = ({k: v for k, v in figures(folder).items() if "seconds" not in k} for folder in (first, second))
    return a == b


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (("regularization.dropout=0.3", "scheduler=exponential"), 3),
        ((*RISING_RATE, "regularization.ema=0.9"), 0),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(run_in_process, settings, best) -> None:
    uninterrupted = run_in_process("train.py", "trainer.max_epochs=4", *settings).folder
    interrupted = run_in_process("train.py", "trainer.max_epochs=2", *settings).folder
    resumed = run_in_process("train.py", "trainer.max_epochs=4", *settings, f"resume={interrupted}").folder
    for folder, last in ((uninterrupted, 3), (interrupted, 1), (resumed, 3)):
        assert epoch_of(folder / "checkpoints/last.ckpt") == last
        assert epoch_of(folder / "checkpoints/best.ckpt") == min(best, last)
    for name in ("last", "best"):
        states = [
            torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (uninterrupted, resumed)
        ]
        for parameter, tensor in states[0]["state_dict"].items():
            assert torch.equal(tensor, states[1]["state_dict"][parameter]), parameter
    assert metrics_equal_except_times(uninterrupted, resumed)


def test_a_run_is_resumed_twice_and_from_a_copied_checkpoint(run_in_process, tmp_path) -> None:
    common = ("data=iris", *RISING_RATE)
    runs = [run_in_process("train.py", *common, "trainer.max_epochs=1").folder]
    for epochs in (2, 3):
        runs.append(run_in_process("train.py", *common, f"trainer.max_epochs={epochs}", f"resume={runs[-1]}").folder)
    assert epoch_of(runs[-1] / "checkpoints/best.ckpt") == 0
    assert metrics_equal_except_times(runs[-1], run_in_process("train.py", *common, "trainer.max_epochs=3").folder)

    copied = shutil.copy(runs[1] / "checkpoints/last.ckpt", tmp_path / "copied.ckpt")
    for folder in runs:
        shutil.rmtree(folder / "checkpoints")
    result = run_in_process("train.py", *common, "trainer.max_epochs=4", f"resume={copied}")
    assert result.status == 0, result.err
    assert "best.ckpt with lr=" in result.out
    assert "no longer exists; the best checkpoint is chosen from the remaining epochs" in result.out
    assert epoch_of(result.folder / "checkpoints/best.ckpt") == 2


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("data=iris", "data.split_seed=1"), "was trained on different data: input scale: "),
        (
            ("data=wine",),
            "was trained on different data: input features: 4 in the checkpoint, 13 in the data; ",
        ),
        (("data=iris", "model=linear"), "contains the model MLP, but this run trains Linear"),
    ],
    ids=str,
)
def test_resuming_with_other_data_or_models_is_rejected(run_in_process, iris, overrides, expected) -> None:
    result = run_in_process("train.py", "trainer.max_epochs=3", *overrides, f"resume={iris}")
    assert result.status == 2
    assert len(result.err.strip().splitlines()) == 1
    assert expected in result.err


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Path:
    """The run folder of an MLP trained on iris."""
    folder = tmp_path_factory.mktemp("iris")
    cfg = compose_checked("train", ["data=iris", "trainer.max_epochs=1", "logger=none", "accelerator=cpu"])
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
