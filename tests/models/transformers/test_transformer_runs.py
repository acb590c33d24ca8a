"""Runs of Transformers: resuming bit for bit, and starting from the weights of a language model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.checkpoints.reading import load
from primer.errors import InputError

SMALL = ("model.hidden_size=16", "model.num_heads=2", "model.num_layers=2")
FAST = ("~callbacks.pictures", "~callbacks.report", "~callbacks.samples", "regularization.dropout=0.1")
CASES = {
    "gpt": (*SMALL, "data.eval_stride=8", "optimizer=muon"),
    "bert": (*SMALL, "data=pos_tags", "data.sentences=80", "data.masked=0.15"),
    "vit": (*SMALL, "model.patch_size=4", "data=digits", "data.train_size=100"),
    "transformer": (*SMALL[:2], "data=dates", "data.samples=80", "~callbacks.attention"),
}


@pytest.fixture
def text(tmp_path: Path) -> tuple[str, ...]:
    """Settings of a small text."""
    (tmp_path / "corpus.txt").write_text("".join(f"{k} and {k * k}, then {k % 7};\n" for k in range(200)))
    return ("data=text", f"data.path={tmp_path}/corpus.txt", "data.sequence_length=16", "data.eval_streams=4")


@pytest.mark.parametrize("model", CASES)
def test_a_resumed_run_equals_an_unbroken_one(
    model: str, text: tuple[str, ...], run_in_process: Callable[..., Any], tmp_path: Path
) -> None:
    settings = (f"model={model}", *(text if model == "gpt" else ()), *CASES[model], *FAST)
    for name, epochs in (("whole", 2), ("broken", 1)):
        result = run_in_process(
            "train.py", *settings, f"trainer.max_epochs={epochs}", f"hydra.run.dir={tmp_path}/{name}"
        )
        assert result.status == 0, result.err
    result = run_in_process("train.py", f"resume={tmp_path}/broken", "trainer.max_epochs=2", logs=False)
    assert result.status == 0, result.err
    whole, broken = load(tmp_path / "whole/checkpoints/last.ckpt"), load(tmp_path / "broken/checkpoints/last.ckpt")
    for name, parameter in whole.state_dict().items():
        assert torch.equal(parameter, broken.state_dict()[name]), name
    found, expected = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("broken", "whole"))
    assert {**found, "fit_seconds": 0} == {**expected, "fit_seconds": 0}


def test_a_language_model_is_a_start_for_tags(
    text: tuple[str, ...], run_in_process: Callable[..., Any], tmp_path: Path
) -> None:
    """The settings of the earlier model are kept, even those that follow its data."""
    result = run_in_process(
        "train.py", "model=gpt", *text, "data.sequence_length=24", *SMALL, *FAST,
        "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/language",
    )  # fmt: skip
    assert result.status == 0, result.err
    result = run_in_process(
        "train.py", f"weights={tmp_path}/language", "data=pos_tags", "data.sentences=60", "trainer.max_epochs=1", *FAST,
        f"hydra.run.dir={tmp_path}/tags", "optimizer.lr=0",
    )  # fmt: skip
    assert result.status == 0, result.err
    language, tags = load(tmp_path / "language").state_dict(), load(tmp_path / "tags").state_dict()
    assert language["positions.weight"].shape == (24, 16)
    shared = [name for name in language if name not in ("embedding.words.weight", "head.weight")]
    assert all(torch.equal(language[name], tags[name]) for name in shared)
    assert len(shared) > 20


def test_masked_token_prediction_is_a_start_for_tags(run_in_process: Callable[..., Any], tmp_path: Path) -> None:
    words = ("data=pos_tags", "data.sentences=80", "trainer.max_epochs=1", *FAST)
    result = run_in_process(
        "train.py", "model=bert", *SMALL, "data.masked=0.15", *words, f"hydra.run.dir={tmp_path}/masked"
    )
    assert result.status == 0, result.err
    result = run_in_process(
        "train.py", f"weights={tmp_path}/masked", *words, f"hydra.run.dir={tmp_path}/tags", "optimizer.lr=0"
    )
    assert result.status == 0, result.err
    masked, tags = load(tmp_path / "masked"), load(tmp_path / "tags")
    assert torch.equal(masked.embedding.words.weight, tags.embedding.words.weight)  # type: ignore[union-attr]
    with pytest.raises(InputError, match="predicts hidden tokens only"):
        masked.predict(["a word"])
    assert tags.predict(["a word"]).tags is not None
