"""Configs of someone else, in a folder that ``--config-dir`` names, run no code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import CommandResult
from helpers.errors import refusal

from primer.cli.checks import check_hydra
from primer.errors import InputError

NODES: dict[str, tuple[str, str]] = {
    "hub": ("objective", "{_target_: torch.hub.load, repo_or_dir: DIR, model: x, source: local}"),
    "unpickle": ("scheduler", "{_target_: torch.load, f: DIR/harm.pkl, weights_only: false}"),
    "optimizer": ("optimizer", "{_target_: torch.save, obj: x, f: DIR/canary}"),
    "data": ("data", "{_target_: primer.records.run_folder.write, path: DIR/canary, text: x}"),
    "callback": ("callbacks.x", "{_target_: torch.PyTorchFileWriter, file: DIR/canary}"),
    "logger": ("logger.x", "{_target_: torch.package.PackageExporter, f: DIR/canary}"),
    "step": ("regularization.augmentation.x", "{_target_: torch.nn.Linear, in_features: 1, out_features: 1}"),
    "nested": ("model.hidden_sizes", "{_target_: torch.save, obj: x, f: DIR/canary}"),
    "arguments": ("optimizer", "{_target_: torch.optim.SGD, _args_: [[]], lr: 0.1}"),
}


@pytest.mark.parametrize("name", NODES)
def test_each_group_asks_for_its_kind_of_class(
    name: str, run_in_process: Callable[..., CommandResult], tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign"
    (foreign / "experiment").mkdir(parents=True)
    (foreign / "hubconf.py").write_text("open(__file__.replace('hubconf.py', 'canary'), 'w')\n")
    path, node = NODES[name]
    group, *rest = path.split(".")
    for key in reversed(rest):
        node = f"{{{key}: {node}}}"
    text = f"# @package _global_\n{group}: {node}\n".replace("DIR", str(foreign))
    (foreign / "experiment" / "foreign.yaml").write_text(text)
    result = run_in_process(
        "train.py", f"--config-dir={foreign}", "experiment=foreign", "data.train_size=100", "trainer.max_epochs=1"
    )
    assert result.status == 2
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1, result.err
    assert not (foreign / "canary").exists()


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("optimizer: 3", "optimizer must be a mapping of settings, not 3"),
        ("optimizer: '_target_: x'", "optimizer must be a mapping of settings, not '_target_: x'"),
        ("scheduler: null", "scheduler must be a mapping of settings, not None"),
        ("data: [1]", "Cannot merge incompatible container types"),
        ("callbacks: {best: 3}", "callbacks.best must be a mapping of settings, not 3"),
        ("regularization: {early_stopping: x}", "early_stopping must be an EarlyStopping, not 'x'"),
        ("hydra: null", "a node has the wrong type"),
    ],
)
def test_a_node_of_another_type_is_rejected(
    node: str, expected: str, run_in_process: Callable[..., CommandResult], tmp_path: Path
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "foreign.yaml").write_text(f"# @package _global_\n{node}\n")
    result = run_in_process("train.py", f"--config-dir={tmp_path}", "experiment=foreign")
    assert result.status == 2
    assert expected in result.err
    assert result.err.count("\n") == 1, result.err


@pytest.mark.parametrize("override", ["~callbacks", "~logger", "~transfer"])
def test_a_run_can_do_without_a_group(override: str, run_in_process: Callable[..., CommandResult]) -> None:
    result = run_in_process("train.py", "data=iris", "trainer.max_epochs=1", override)
    assert result.status == 0, result.err


@pytest.mark.parametrize(
    "override",
    [
        "+hydra.callbacks={x: {_target_: torch.hub.load}}",
        "hydra.launcher._target_=torch.hub.load",
        "hydra.sweeper._target_=primer.records.run_folder.write",
    ],
)
def test_hydra_is_asked_for_its_own_parts_only(override: Any) -> None:
    assert "is not allowed" in refusal(override)


def test_a_factory_for_logging_is_refused() -> None:
    with pytest.raises(InputError, match="a factory for logging is not allowed"):
        check_hydra({"job_logging": {"handlers": {"console": {"()": "os.system", "command": "ls"}}}})


@pytest.mark.parametrize("override", ["+optimizer._args_=[1]", "+data._partial_=true", "+model._recursive_=false"])
def test_special_keys_are_refused(override: str) -> None:
    assert "only _target_ and the names of arguments are" in refusal(override)
