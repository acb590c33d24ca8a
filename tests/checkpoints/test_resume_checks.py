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
        (("data=wine",), "a resumed run cannot change data._target_=primer.data.tables.tables.Wine (was primer."),
        (("data.split_seed=1",), "cannot change data.split_seed=1 (was 0); weights="),
        (("model.hidden_sizes=[9]",), "cannot change model.hidden_sizes=[9] (was [128,64])"),
        (("model=linear",), "cannot change model._target_=primer.models.feedforward.linear.Linear (was "),
        (("optimizer=sgd",), "optimizer._target_=torch.optim.SGD (was torch.optim.Adam); weights="),
        (("optimizer.lr=0.5", "seed=1"), "cannot change seed=1 (was 0), optimizer.lr=0.5 (was 0.001); weights="),
        (("regularization.l2=0.1",), "regularization.l2=0.1 (was 0.0)"),
        (("scheduler=cosine",), "scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR (was not set)"),
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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            lambda content: content["primer"]["spec"]["input"].update(names=["a", "b", "c", "d"]),
            "different data: input",
        ),
        (lambda content: content["state_dict"].pop("head.bias"), "contains a different MLP: head.bias is missing in"),
    ],
)
def test_a_checkpoint_with_other_data_or_parameters_is_rejected(
    trained: Path, changed: Callable[[Any], Any], message: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    changed(content)
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(InputError, match=message):
        train(command("train", "again", *RUN, "trainer.max_epochs=4", f"resume={tmp_path}/changed.ckpt"))


def test_a_different_split_with_the_same_scale_is_rejected(command: Callable[..., Any], tmp_path: Path) -> None:
    text = ("model=lstm", "data=copy_memory", "data.samples=40", "data.length=5", "model.hidden_size=4", "test=false")
    train(command("train", "run", *text, "trainer.max_epochs=1"))
    again = command("train", "again", *text, "trainer.max_epochs=2", f"resume={tmp_path}/run", "data.split_seed=1")
    with pytest.raises(InputError, match=r"cannot change data.split_seed=1 \(was 0\)"):
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
