"""Training with torch.compile and channels_last."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
import torch
from helpers.run_folders import figures

from primer.cli.composition import compose_resolved
from primer.regularization import Regularization
from primer.run.building import build_data, build_model

requires_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None,
    reason="torch.compile needs a C++ compiler, and none is installed",
)


def config_of(*overrides: str) -> dict[str, Any]:
    return compose_resolved("train", list(overrides), "unused")


@requires_compiler
def test_compile_and_channels_last_reach_the_model() -> None:
    config = config_of("model=lenet", "trainer.compile=true", "trainer.channels_last=true")
    data = build_data(config)
    plain, compiled = (
        build_model(changed, data, Regularization())
        for changed in (config | {"trainer": config["trainer"] | {"compile": False, "channels_last": False}}, config)
    )
    assert compiled._compiled_call_impl is not None
    assert plain._compiled_call_impl is None
    kernels = [parameter for parameter in compiled.parameters() if parameter.ndim == 4 and parameter.shape[1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    compiled.load_state_dict(plain.state_dict())
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(
        compiled.eval().forward_batch(batch), plain.eval().forward_batch(batch), atol=1e-5, rtol=1e-5
    )


@requires_compiler
@pytest.mark.slow
def test_compiled_training_equals_eager_training(run_in_process) -> None:
    common = ("model=lenet", "trainer.max_steps=2", "data.batch_size=32", "accelerator=cpu")
    plain, compiled = (run_in_process("train.py", *common, f"trainer.compile={flag}") for flag in ("false", "true"))
    assert compiled.status == 0, compiled.err
    expected, actual = (
        {k: v for k, v in figures(run.folder).items() if k != "fit_seconds"} for run in (plain, compiled)
    )
    assert actual == pytest.approx(expected, rel=1e-3)
    states = [
        torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (plain, compiled)
    ]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, atol=1e-4, rtol=1e-3)
    pictures = [sorted(file.name for file in run.folder.glob("pictures/*")) for run in (plain, compiled)]
    assert pictures[0] == pictures[1] != []
    assert run_in_process("evaluate.py", f"run={compiled.folder}").status == 0


def test_compile_without_a_compiler_is_rejected(run_in_process, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = run_in_process("train.py", "trainer.compile=true", "accelerator=cpu")
    assert result.status == 2
    assert result.err.strip() == (
        "error: trainer.compile=true requires the compiler no-such-compiler, which is not installed: install it, or "
        "set trainer.compile=false"
    )
