"""``~`` is the home folder in every override."""

from __future__ import annotations

from pathlib import Path

import pytest

from primer.cli.composition import compose_checked, parse_override
from primer.config.paths import expand_home


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run=~/runs/1", "/home/ü/runs/1"),
        ("data.path=~", "/home/ü"),
        ("+data.path='~/a b'", "/home/ü/a b"),
        ("hydra.run.dir=~/x", "/home/ü/x"),
        ("data.path=x~", None),
        ("data.path=a/~/b", None),
        ("samples.prompt='a ~/b'", "a ~/b"),
        ("~optimizer", None),
        ("--config-dir=~/x", None),
    ],
)
def test_home_in_an_override(override: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ü")
    expanded = expand_home(override)
    if expected is None:
        assert expanded == override
    else:
        assert parse_override(expanded).value() == expected


def test_a_home_with_a_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/o'neil")
    assert parse_override(expand_home("run=~/runs/1")).value() == "/home/o'neil/runs/1"


def test_home_in_each_value_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert expand_home("data.path=~/a,~/b,c") == "data.path=/home/ada/a,/home/ada/b,c"
    assert expand_home("data.train=[~/a,~]") == "data.train=[/home/ada/a,/home/ada]"


def test_home_in_the_log_dir_of_a_config_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = compose_checked("train", ["paths.log_dir='~/logs'"])
    assert config.hydra.run.dir.startswith(f"{tmp_path}/logs/train/runs/")
    assert config.hydra.sweep.dir.startswith(f"{tmp_path}/logs/train/sweeps/")
