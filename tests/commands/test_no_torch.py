"""Help, listing and config errors come without importing torch, in one line."""

from __future__ import annotations

import json
import resource

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
slow = sorted({"torch", "lightning", "wandb", "sklearn", "matplotlib", "numpy"} & set(sys.modules))
print("PROBE", json.dumps([status, slow]))
"""

SHOWN = [
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
    (("model=lstm", "data=iris"), "data that fit:"),
    (("objective=mse",), "data that fit:"),
    (("data=image_folder",), "data.path is needed"),
    (("data=csv", "data.target=y"), "data.path is needed"),
    (("data=iris", "regularization/augmentation=flip"), "data that fit:"),
    (("model=null",), "valid: "),
    (("model",), "cannot be read"),
    (("+callbacks.bad._target_=os.system",), "is refused"),
    (("-m", "model=mlp,lenet,lstn"), "did you mean lstm?"),
    (("-m", "model=mlp,lstm", "data=digits,iris"), "data that fit:"),
]


def probe(run_in_subprocess, *arguments: str):
    done = run_in_subprocess("-c", PROBE, json.dumps(arguments))
    out, _, tail = done.out.rpartition("PROBE ")
    status, slow = json.loads(tail)
    return status, slow, out, done.err


@pytest.mark.parametrize("arguments", SHOWN, ids=" ".join)
def test_what_is_shown_needs_no_torch(run_in_subprocess, arguments) -> None:
    status, slow, out, err = probe(run_in_subprocess, *arguments)
    assert (status, slow, err) == (0, [], "")
    assert out.strip()


def test_the_list_needs_no_torch(run_in_subprocess) -> None:
    code = "import sys, runpy; sys.argv = ['primer', 'list']\ntry: runpy.run_module('primer', run_name='__main__')\n"
    done = run_in_subprocess("-c", code + "except SystemExit: pass\nprint('torch' in sys.modules)")
    *table, imported = done.out.strip().splitlines()
    assert imported == "False"
    assert len(table) > 10
    assert any(line.startswith("digits") for line in table)


def test_the_help_fits_on_a_screen(run_in_subprocess) -> None:
    done = run_in_subprocess("train.py", "--help", COLUMNS="100")
    assert len(done.out.splitlines()) <= 40
    assert max(map(len, done.out.splitlines())) <= 100


def test_what_does_not_fit_is_told_at_once(run_in_subprocess) -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    done = run_in_subprocess("train.py", "model=lstm", "data=iris")
    assert done.status == 2
    assert spent() - before < 2  # Seconds of a processor, which other processes do not lengthen.


@pytest.mark.parametrize(("overrides", "hint"), MISTAKES, ids=[" ".join(case[0]) for case in MISTAKES])
def test_a_mistake_gets_one_line_without_torch(run_in_subprocess, tmp_path, overrides, hint) -> None:
    status, slow, out, err = probe(run_in_subprocess, "train.py", *overrides, f"paths.log_dir={tmp_path}/logs")
    assert status == 2, err
    assert slow == []
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert hint in err
    assert not (tmp_path / "logs").exists()
