"""Something is on the screen before torch is imported, which takes seconds."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from primer.cli.announcement import announce

STOP_AT_TORCH = """
import runpy, sys
from importlib.machinery import PathFinder

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            spec = PathFinder.find_spec(name, path)
            spec.loader.exec_module = lambda module: sys.exit(7)
            return spec

sys.meta_path.insert(0, Stop())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("train.py", "model=lstm", "optimizer=sgd"), "training lstm on pos_tags"),
        (("train.py", "-m", "model=mlp,linear", "seed=3"), "job 0: model=mlp seed=3"),
    ],
)
def test_the_first_line_comes_before_torch(run_in_subprocess, tmp_path, arguments, line) -> None:
    result = run_in_subprocess("-c", STOP_AT_TORCH, *arguments, f"paths.log_dir={tmp_path}/logs")
    assert result.status == 7, result.err
    assert result.out.split(" paths.")[0].strip() == line


@pytest.mark.parametrize(("key", "verb"), [("run", "evaluating"), ("ckpt", "evaluating"), ("resume", "resuming")])
def test_a_command_names_its_run(key: str, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    announce(OmegaConf.create({"run": None, "ckpt": None, "resume": None, key: "logs/some/run"}))
    assert capsys.readouterr().out == f"{verb} logs/some/run\n"


def test_only_the_main_process_announces(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    announce(OmegaConf.create({"run": "logs/some/run"}))
    assert capsys.readouterr().out == ""
