"""Runs that go on from a checkpoint, and runs that start from the weights of another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.run_folders import epoch_of, figures
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.run.training import train


def equal_but_for_the_time(one: Path, other: Path) -> bool:
    a, b = ({k: v for k, v in figures(folder).items() if "seconds" not in k} for folder in (one, other))
    return a == b


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (("regularization.dropout=0.3", "scheduler=exponential"), 3),
        (("mode=max", "regularization.ema=0.9"), 0),  # The loss is largest, and so best, before the break.
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(run_in_process, settings, best) -> None:
    whole = run_in_process("train.py", "trainer.max_epochs=4", *settings).folder
    half = run_in_process("train.py", "trainer.max_epochs=2", *settings).folder
    rest = run_in_process("train.py", "trainer.max_epochs=4", *settings, f"resume={half}").folder
    for folder, last in ((whole, 3), (half, 1), (rest, 3)):
        assert epoch_of(folder / "checkpoints/last.ckpt") == last
        assert epoch_of(folder / "checkpoints/best.ckpt") == min(best, last)
    for name in ("last", "best"):
        states = [torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (whole, rest)]
        for parameter, tensor in states[0]["state_dict"].items():
            assert torch.equal(tensor, states[1]["state_dict"][parameter]), parameter
    assert equal_but_for_the_time(whole, rest)


def test_a_run_is_resumed_twice_and_from_a_file_alone(run_in_process, tmp_path) -> None:
    common = ("data=iris", "mode=max")
    runs = [run_in_process("train.py", *common, "trainer.max_epochs=1").folder]
    for epochs in (2, 3):
        runs.append(run_in_process("train.py", *common, f"trainer.max_epochs={epochs}", f"resume={runs[-1]}").folder)
    assert epoch_of(runs[-1] / "checkpoints/best.ckpt") == 0
    assert equal_but_for_the_time(runs[-1], run_in_process("train.py", *common, "trainer.max_epochs=3").folder)

    kept = shutil.copy(runs[1] / "checkpoints/last.ckpt", tmp_path / "kept.ckpt")
    for folder in runs:
        shutil.rmtree(folder / "checkpoints")
    done = run_in_process("train.py", *common, "trainer.max_epochs=4", f"resume={kept}")
    assert done.status == 0, done.err
    assert "best.ckpt with val/loss=" in done.out
    assert "is gone; the best is what comes from now on" in done.out
    assert epoch_of(done.folder / "checkpoints/best.ckpt") == 2


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (("data=iris", "data.split_seed=1"), "was trained on other data: input scale: "),
        (("data=wine",), "was trained on other data: input features: 4 there, 13 here; "),
        (("data=iris", "model=linear"), "is of the model MLP, and this run's is Linear"),
    ],
    ids=str,
)
def test_other_data_and_models_are_not_resumed(run_in_process, iris, overrides, wanted) -> None:
    done = run_in_process("train.py", "trainer.max_epochs=3", *overrides, f"resume={iris}")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert wanted in done.err


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Path:
    """The run folder of an MLP on irises."""
    folder = tmp_path_factory.mktemp("iris")
    cfg = compose_checked("train", ["data=iris", "trainer.max_epochs=1", "logger=none", "accelerator=cpu"])
    OmegaConf.update(cfg, "hydra", None)
    cfg.paths.output_dir = str(folder)
    train(cfg)
    return folder


@pytest.mark.parametrize(("epochs", "learning"), [(1, {"head"}), (2, {"head", "hidden"})])
def test_layers_join_in_the_course_of_a_run(run_in_process, iris, epochs, learning) -> None:
    gradual = ("transfer=gradual", "transfer.epochs=[2]", f"trainer.max_epochs={epochs}")
    done = run_in_process("train.py", "data=iris", f"weights={iris}", *gradual)
    assert done.status == 0, done.err
    files = [folder / "checkpoints/last.ckpt" for folder in (iris, done.folder)]
    before, after = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == learning
