"""Settings of one's own for every run, in ``configs/local``, and what can be wrong with them."""

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
    """A function that writes ``configs/local/default.yaml``, in a copy of the configs that the checks look at."""
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs, ignore=shutil.ignore_patterns("local"))
    (configs / "local").mkdir()
    monkeypatch.setattr("primer.cli.composition.CONFIGS", configs)

    def write(text: str, package: str = "# @package _global_") -> None:
        (configs / "local/default.yaml").write_text(f"{package}\n{text}\n")

    return write


@pytest.mark.parametrize(
    "own",
    [
        "seed: 3\ntrainer:\n  max_epochs: 3\noptimizer:\n  lr: 0.1",
        "samples: null",
        "samples:\n  length: 0",
        "beam_size: 3\npart: val",
        "defaults:\n  - override /accelerator: cpu",
    ],
)
def test_settings_of_ones_own_for_one_command_do_no_harm_in_the_other(own: str, local: Callable[..., None]) -> None:
    local(own)
    check_command("train", [])
    check_command("evaluate", ["run=x"])


def test_settings_of_the_other_command_are_refused_where_they_are_typed(local: Callable[..., None]) -> None:
    assert "seed: there is no seed at the top" in refusal("run=x", "+seed=3", name="evaluate")
    assert "beam_size: there is no beam_size at the top" in refusal("+beam_size=3")
    local("seed: 3\nbeam_size: 2")
    assert "seed: there is no seed at the top" in refusal("run=x", "seed=3", name="evaluate")
    assert "beam_size: there is no beam_size at the top" in refusal("beam_size=3")


@pytest.mark.parametrize(
    ("own", "name", "wanted"),
    [
        ("defaults:\n  - override /logger: tensorboard", "evaluate", "Could not override 'logger'. No match in the"),
        ("defaults:\n  - override /modle: mlp", "train", "Could not override 'modle'. No match in the defaults list"),
        ("hydra:\n  job:\n    nmae: x", "train", "Key 'nmae' not in 'JobConf'"),
    ],
)
def test_settings_of_ones_own_that_make_no_config_are_named(
    own: str, name: str, wanted: str, local: Callable[..., None]
) -> None:
    local(own)
    for typed in ([], ["paths.log_dir=x"], ["seeed=1"]):
        message = refusal(*typed, name=name)
        assert message.startswith("configs/local/default.yaml, which both commands read: In 'local/default': ")
        assert wanted in message
        assert message.endswith("; '~local' leaves it out")
    check_command(name, ["~local"])


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ("seeed: 3", "seeed: there is no seeed at the top"),
        ("seed: [3", 'local/default.yaml", line 2'),
        ("seed: ${", "no viable alternative at input '${'"),
        ("defaults: 3", "Invalid defaults list in 'local/default'"),
    ],
)
def test_mistakes_in_settings_of_ones_own(own: str, wanted: str, local: Callable[..., None]) -> None:
    local(own)
    for name in ("train", "evaluate"):
        assert wanted in refusal(name=name)


def test_settings_of_ones_own_without_their_first_line_are_not_ignored(local: Callable[..., None]) -> None:
    assert "local: there is no local at the top" in refusal("+local.seed=3")
    local("seed: 3", package="# for this machine")
    for name in ("train", "evaluate"):
        assert refusal(name=name) == (
            "configs/local/default.yaml has no effect: its first line must be '# @package _global_'"
        )
