"""Help, listing and config errors do not import torch; errors are one line."""

from __future__ import annotations

import json

import pytest

PROBE = """
import json, runpy, sys
script, *arguments = json.loads(sys.argv[1])
sys.argv = [script, *arguments]
status = 0
try:
    if script == "-m":
        runpy.run_module("primer", run_name="__main__", alter_sys=False)
    else:
        runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    status = end.code or 0
heavy = sorted({"torch", "lightning", "wandb", "sklearn", "matplotlib", "numpy"} & set(sys.modules))
print("PROBE", json.dumps([status, heavy]))
"""

PRINTING_COMMANDS = [
    ("train.py", "--help"),
    ("evaluate.py", "--help"),
    ("train.py", "--cfg", "job"),
    ("train.py", "model=lstm", "--cfg", "job"),
    ("train.py", "--hydra-help"),
]

MISTAKES = [
    (("optimzer=adam",), "did you mean optimizer?"),
    (("model=lstn",), "did you mean lstm?"),
    (("regularization/augmentation=flop",), "did you mean flip?"),
    (("regularisation/augmentation=flip",), "did you mean regularization/augmentation?"),
    (("model.hiden_sizes=[3]",), "did you mean hidden_sizes?"),
    (("trainer.max_epoch=3",), "did you mean max_epochs?"),
    (("regularization.early_stopping.patince=3",), "did you mean patience?"),
    (("sead=3",), "did you mean seed?"),
    (("+model.hidden_dims=[3]",), "did you mean hidden_sizes?"),
    (("model.hidden_sizes=big",), "must be a list"),
    (("model.hidden_sizes=[a]",), "a list, each an integer"),
    (("optimizer.lr=fast",), "must be a number"),
    (("seed=lucky",), "seed must be an integer or null"),
    (("trainer.max_epochs=many",), "must be"),
    (("data.batch_size=lots",), "an integer or one of full"),
    (("regularization.dropout=half",), "must be a number"),
    (("model.activation=rleu",), "one of step, sigmoid, tanh, softmax, relu, leaky_relu, gelu"),
    (("mode=up",), "one of min, max"),
    (("test=perhaps",), "true or false"),
    (("model=lstm", "data=iris"), "compatible data:"),
    (("objective=mse",), "compatible data:"),
    (("data=image_folder",), "data.path is required"),
    (("data=csv", "data.target=y"), "data.path is required"),
    (("data=iris", "regularization/augmentation=flip"), "compatible data:"),
    (("model=null",), "valid: "),
    (("model",), "cannot be parsed"),
    (("+callbacks.bad._target_=os.system",), "is not allowed"),
    (("-m", "model=mlp,lenet,lstn"), "did you mean lstm?"),
    (("-m", "model=lstm", "data=iris,wine"), "compatible data:"),
]


def probe(run_in_subprocess, *arguments: str):
    result = run_in_subprocess("-c", PROBE, json.dumps(arguments))
    out, _, tail = result.out.rpartition("PROBE ")
    status, heavy = json.loads(tail)
    return status, heavy, out, result.err


@pytest.mark.parametrize("arguments", PRINTING_COMMANDS, ids=" ".join)
def test_help_and_configs_are_printed_without_importing_torch(run_in_subprocess, arguments) -> None:
    status, heavy, out, err = probe(run_in_subprocess, *arguments)
    assert (status, heavy, err) == (0, [], "")
    assert out.strip()


def test_the_list_is_printed_without_importing_torch(run_in_subprocess) -> None:
    status, heavy, out, _ = probe(run_in_subprocess, "-m", "list")
    assert (status, heavy) == (0, [])
    assert len(out.splitlines()) > 10
    assert "Image to Classes" in out.splitlines()


def test_runs_are_compared_without_importing_torch(run_in_subprocess, tmp_path) -> None:
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "config.yaml").write_text(f"seed: {seed}\nmonitor: val/loss\nmode: min\n")
    status, heavy, out, err = probe(run_in_subprocess, "-m", "compare", str(tmp_path))
    assert (status, heavy, err) == (0, [], "")
    assert ["seed", "0", "1"] in [line.split() for line in out.splitlines()]


def test_the_help_has_at_most_sixty_lines(run_in_subprocess) -> None:
    result = run_in_subprocess("train.py", "--help", COLUMNS="100")
    assert len(result.out.splitlines()) <= 60
    assert max(map(len, result.out.splitlines())) <= 100


@pytest.mark.parametrize(("overrides", "hint"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_a_mistake_is_reported_in_one_line_without_importing_torch(
    run_in_subprocess, tmp_path, overrides, hint
) -> None:
    status, heavy, out, err = probe(run_in_subprocess, "train.py", *overrides, f"paths.log_dir={tmp_path}/logs")
    assert status == 2, err
    assert heavy == []
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert hint in err
    assert not (tmp_path / "logs").exists()
