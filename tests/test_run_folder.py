"""What a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from primer import run_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "file.txt"
    run_folder.write(file, "first é\n")
    assert file.read_text(encoding="utf-8") == "first é\n"
    seen: list[str] = []
    replace = Path.replace

    def killed(self: Path, target: Any) -> Any:
        seen.append(self.read_text(encoding="utf-8"))
        assert self.parent == file.parent  # A rename is atomic within one file system alone.
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run_folder.write(file, "second")
    assert seen == ["second"]
    assert file.read_text(encoding="utf-8") == "first é\n"
    monkeypatch.setattr(Path, "replace", replace)
    run_folder.write(file, "third")
    assert file.read_text(encoding="utf-8") == "third"
    assert names(file.parent) == ["file.txt"]


def test_metrics_are_flat_and_what_is_no_number_is_null(tmp_path: Path) -> None:
    metrics = {"test/loss": 0.25, "val/r2": float("nan"), "train/loss": float("inf"), "x": float("-inf"), "epochs": 3}
    run_folder.write_metrics(tmp_path, metrics)
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == {"test/loss": 0.25, "val/r2": None, "train/loss": None, "x": None, "epochs": 3}
    assert list(json.loads(text)) == list(metrics)
    assert text.endswith("}\n")
    assert names(tmp_path) == ["metrics.json"]


def test_metrics_keep_every_digit(tmp_path: Path) -> None:
    figure = 0.1 + 0.2
    run_folder.write_metrics(tmp_path, {"a": figure})
    assert json.loads((tmp_path / "metrics.json").read_text())["a"] == figure


def test_what_is_needed_to_run_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {("rev-parse", "HEAD"): "abc123", ("diff", "HEAD"): "- old\n+ new"}
    monkeypatch.setattr(run_folder, "_git", lambda *arguments: said[arguments])
    config = {"model": {"hidden_sizes": [3, 4], "dropout": 1e-4}, "seed": 0, "resume": None}
    run_folder.describe(tmp_path, config, ["seed=0", "model.hidden_sizes=[3,4]"])
    assert names(tmp_path) == ["config.yaml", "environment.json", "overrides.yaml", "uncommitted.diff"]
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == config
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "overrides.yaml")) == ["seed=0", "model.hidden_sizes=[3,4]"]
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["git_commit"] == "abc123"
    assert {"torch", "lightning", "hydra-core"} <= set(environment["packages"])
    assert (tmp_path / "uncommitted.diff").read_text() == "- old\n+ new\n"


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "ROOT", tmp_path / "nowhere")
    run_folder.describe(tmp_path, {"seed": 0}, [])
    assert json.loads((tmp_path / "environment.json").read_text())["git_commit"] is None
    assert "uncommitted.diff" not in names(tmp_path)
