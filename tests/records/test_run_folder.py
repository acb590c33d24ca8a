"""The files of a run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from primer.records import run_folder


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "file.txt"
    run_folder.write(file, "first é\n")
    assert file.read_text(encoding="utf-8") == "first é\n"
    seen: list[str] = []
    replace = Path.replace

    def interrupted(self: Path, target: Any) -> Any:
        seen.append(self.read_text(encoding="utf-8"))
        assert self.parent == file.parent  # A rename is atomic only within one file system.
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_folder.write(file, "second")
    assert seen == ["second"]
    assert file.read_text(encoding="utf-8") == "first é\n"
    monkeypatch.setattr(Path, "replace", replace)
    run_folder.write(file, "third")
    assert file.read_text(encoding="utf-8") == "third"
    assert file_names(file.parent) == ["file.txt"]


def test_metrics_are_flat_and_non_finite_values_are_null(tmp_path: Path) -> None:
    metrics = {"test/loss": 0.25, "val/r2": float("nan"), "train/loss": float("inf"), "x": float("-inf"), "epochs": 3}
    run_folder.write_metrics(tmp_path, metrics)
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text) == {"test/loss": 0.25, "val/r2": None, "train/loss": None, "x": None, "epochs": 3}
    assert list(json.loads(text)) == list(metrics)
    assert text.endswith("}\n")
    assert file_names(tmp_path) == ["metrics.json"]


def test_metrics_are_written_in_full_precision(tmp_path: Path) -> None:
    value = 0.1 + 0.2
    run_folder.write_metrics(tmp_path, {"a": value})
    assert json.loads((tmp_path / "metrics.json").read_text())["a"] == value


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit, an uncommitted change, and untracked files."""
    root = tmp_path / "clone"
    (root / "src").mkdir(parents=True)
    (root / "src" / "old.py").write_text("one = 1\n\n")
    (root / ".gitignore").write_text("ignored.py\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    (root / "src" / "old.py").write_text("one = 2\n\n")
    (root / "src" / "new model.py").write_text("class Möbius:\n    width = 3\n")
    (root / "unfinished.yaml").write_text("a: 1")  # Without a final newline.
    (root / "ignored.py").write_text("x\n")
    (root / ".env").write_text("KEY=1\n")
    (root / "large.txt").write_text("x" * 200_000)
    (root / "picture.png").write_bytes(bytes(range(256)))
    monkeypatch.setattr(run_folder, "ROOT", root)
    return root


def git(root: Path, *arguments: str, data: bytes = b"") -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], input=data, capture_output=True, check=True)
    return done.stdout.decode()


def test_provenance_reproduces_the_sources(tmp_path: Path, repository: Path) -> None:
    config = {"model": {"hidden_sizes": [3, 4], "dropout": 1e-4}, "seed": 0, "resume": None}
    folder = tmp_path / "run"
    run_folder.write_provenance(folder, config, ["seed=0", "model.hidden_sizes=[3,4]"])
    assert file_names(folder) == ["config.yaml", "environment.json", "overrides.yaml", "uncommitted.diff"]
    assert OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")) == config
    assert OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml")) == ["seed=0", "model.hidden_sizes=[3,4]"]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["git_commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert {"torch", "lightning", "hydra-core"} <= set(environment["packages"])
    assert environment["untracked"] == ["src/new model.py", "unfinished.yaml"]
    assert sorted(environment["untracked_left_out"]) == [".env", "large.txt", "picture.png"]

    # The commit and the diff reproduce the sources.
    clone = tmp_path / "reproduced"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    git(clone, "apply", "-", data=(folder / "uncommitted.diff").read_bytes())
    for name in ("src/old.py", "src/new model.py", "unfinished.yaml"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()


def test_number_of_untracked_files_is_limited(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "MAX_FILES", 3)
    assert run_folder.untracked() == (["src/new model.py", "unfinished.yaml"], [".env", "and 2 more"])


def test_provenance_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "ROOT", tmp_path / "nowhere")
    run_folder.write_provenance(tmp_path, {"seed": 0}, [])
    assert json.loads((tmp_path / "environment.json").read_text())["git_commit"] is None
    assert "uncommitted.diff" not in file_names(tmp_path)
