"""Something is on the screen before torch is imported, which takes seconds."""

from __future__ import annotations

import resource

import pytest

STOP_AT_TORCH = """
import runpy, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise SystemExit(7)

sys.meta_path.insert(0, Stop())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("train.py", "model=lstm", "optimizer=sgd"), "training lstm on pos_tags"),
        (("train.py", "-m", "model=mlp,linear", "seed=3"), "job 0: model=mlp seed=3"),
        (("evaluate.py", "run=logs/some/run"), "evaluating logs/some/run"),
    ],
)
def test_the_first_line_comes_before_torch(run_in_subprocess, tmp_path, arguments, line) -> None:
    def cpu_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = cpu_seconds()
    result = run_in_subprocess("-c", STOP_AT_TORCH, *arguments, f"paths.log_dir={tmp_path}/logs")
    assert result.status == 7, result.err
    assert result.out.split(" paths.")[0].strip() == line
    assert cpu_seconds() - before < 2  # CPU time, which other processes do not affect.
