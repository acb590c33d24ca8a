"""Local settings for every run, in ``configs/local/default.yaml``, and mistakes in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.errors import refusal

from primer.cli.checks import check_command
from primer.config.paths import CONFIGS


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Returns a function that writes ``configs/local/default.yaml`` in a copy of the configs that the checks read."""
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs, ignore=shutil.ignore_patterns("local"))
    (configs / "local").mkdir()
    monkeypatch.setattr("primer.cli.composition.CONFIGS", configs)

    def write(text: str, package: str = "# @package _global_") -> None:
        (configs / "local/default.yaml").write_text(f"{package}\n{text}\n")

    return write


@pytest.mark.parametrize(
    "settings",
    [
        "seed: 3\ntrainer:\n  max_epochs: 3\noptimizer:\n  lr: 0.1",
        "samples: null",
        "samples:\n  length: 0",
        "beam_size: 3\npart: val",
        "defaults:\n  - override /accelerator: cpu",
    ],
)
def test_local_settings_for_one_command_do_not_break_the_other(settings: str, local: Callable[..., None]) -> None:
    local(settings)
    check_command("train", [])
    check_command("evaluate", ["run=x"])


def test_typed_settings_of_the_other_command_are_rejected(local: Callable[..., None]) -> None:
    assert "seed: there is no seed at the top" in refusal("run=x", "+seed=3", name="evaluate")
    assert "beam_size: there is no beam_size at the top" in refusal("+beam_size=3")
    local("seed: 3\nbeam_size: 2")
    assert "seed: there is no seed at the top" in refusal("run=x", "seed=3", name="evaluate")
    assert "beam_size: there is no beam_size at the top" in refusal("beam_size=3")


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (
            "defaults:\n  - override /logger: tensorboard",
            "evaluate",
            "No earlier Group Default for 'logger' exists to override",
        ),
        ("defaults:\n  - override /modle: mlp", "train", "No earlier Group Default for 'modle' exists to override"),
        ("hydra:\n  job:\n    nmae: x", "train", "Key 'nmae' not in 'JobConf'"),
    ],
)
def test_local_settings_that_do_not_compose_are_reported_with_their_file(
    settings: str, name: str, expected: str, local: Callable[..., None]
) -> None:
    local(settings)
    for typed in ([], ["paths.log_dir=x"], ["seeed=1"]):
        message = refusal(*typed, name=name)
        assert message.startswith("configs/local/default.yaml, which both commands read: In 'local/default': ")
        assert expected in message
        assert message.endswith("; '~local' leaves it out")
    check_command(name, ["~local"])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("seeed: 3", "seeed: there is no seeed at the top"),
        ("seed: [3", 'local/default.yaml", line 2'),
        ("seed: ${", "no viable alternative at input '${'"),
        ("defaults: 3", "Invalid defaults list in 'local/default'"),
    ],
)
def test_mistakes_in_local_settings(settings: str, expected: str, local: Callable[..., None]) -> None:
    local(settings)
    for name in ("train", "evaluate"):
        assert expected in refusal(name=name)


def test_local_settings_without_a_package_line_are_rejected(local: Callable[..., None]) -> None:
    assert "local: there is no local at the top" in refusal("+local.seed=3")
    local("seed: 3", package="# this machine only")
    for name in ("train", "evaluate"):
        assert refusal(name=name) == (
            "configs/local/default.yaml has no effect: its first line must be '# @package _global_'"
        )
