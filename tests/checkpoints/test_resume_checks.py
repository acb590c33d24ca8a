"""A run can only be resumed from a checkpoint of the same run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.errors import InputError
from primer.run.training import train

RUN = ("data=iris", "accelerator=cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("resuming") / "run"
    cfg = compose_checked("train", [*RUN, "trainer.max_epochs=2"])
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    cfg.paths.output_dir = str(folder)
    train(cfg)
    return folder


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("data=wine",),
            "was trained on different data: input features: 4 in the checkpoint, 13 in the data",
        ),
        (("data.split_seed=1",), "was trained on different data: input scale"),
        (("data=xor", "data.split_seed=1"), "different data"),
        (("model.hidden_sizes=[9]",), "contains a different MLP: hidden.0.weight is ("),
        (("model=linear",), "contains the model MLP, but this run trains Linear"),
        (("optimizer=sgd",), "was started with optimizer._target_=torch.optim.Adam"),
        (("optimizer.lr=0.5",), "but this run has 0.5; weights="),
        (("regularization.l2=0.1",), "was started with regularization.l2=0.0, but this run has 0.1"),
        (("scheduler=cosine",), "was started with scheduler."),
        (("trainer.max_epochs=2",), "2 epochs are done, so trainer.max_epochs=2 leaves nothing to do"),
        (("trainer.max_steps=3",), "steps are done, so trainer.max_steps=3 leaves nothing to do"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_rejected(
    trained: Path, overrides: tuple[str, ...], message: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        train(command("train", "again", *RUN, "trainer.max_epochs=4", f"resume={trained}", *overrides))
    assert message in str(caught.value)
    assert not (tmp_path / "again").exists()


def test_a_different_split_with_the_same_scale_is_rejected(command: Callable[..., Any], tmp_path: Path) -> None:
    text = ("model=lstm", "data=copy_memory", "data.samples=40", "data.length=5", "model.hidden_size=4", "test=false")
    train(command("train", "run", *text, "trainer.max_epochs=1"))
    again = command("train", "again", *text, "trainer.max_epochs=2", f"resume={tmp_path}/run", "data.split_seed=1")
    with pytest.raises(InputError, match=r"was started with data.split_seed=0, but this run has 1"):
        train(again)


def test_the_same_run_is_resumed(trained: Path, command: Callable[..., Any]) -> None:
    metrics = train(command("train", "again", *RUN, "trainer.max_epochs=4", f"resume={trained}"))
    assert metrics["epochs"] == 4


def test_a_run_that_max_steps_ended_resumes_within_its_epoch(command: Callable[..., Any], tmp_path: Path) -> None:
    """An epoch has seven steps."""
    quick = ("data.train_size=200", "data.batch_size=32", "accelerator=cpu", "regularization.dropout=0.2", "test=false")
    train(command("train", "whole", *quick, "trainer.max_epochs=3"))
    train(command("train", "stopped", *quick, "trainer.max_steps=10"))
    metrics = train(command("train", "resumed", *quick, "trainer.max_epochs=3", f"resume={tmp_path}/stopped"))
    assert metrics["steps"] == 21
    files = [tmp_path / name / "checkpoints" / "last.ckpt" for name in ("whole", "resumed")]
    whole, resumed = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
