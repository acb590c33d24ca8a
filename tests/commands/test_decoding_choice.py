"""The beam of an evaluation is one's own choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import primer
from primer.batch import Batch
from primer.models.encoder_decoder.seq2seq import Seq2Seq

SHORT = ("model=seq2seq", "data.samples=300", "data.batch_size=8", "optimizer.lr=0.01", "trainer.max_epochs=4",
         "accelerator=cpu")  # fmt: skip


def figures(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_an_evaluation_may_have_another_beam(run_in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    batches: list[Batch] = []
    search = Seq2Seq.search

    def noted(self: Seq2Seq, batch: Batch) -> Any:
        sizes.append(self.beam_size)
        batches.append(batch)
        return search(self, batch)

    monkeypatch.setattr(Seq2Seq, "search", noted)
    trained = run_in_process("train.py", *SHORT)
    assert (trained.folder / "pictures" / "attention.png").exists()
    assert sizes == []
    same = run_in_process("evaluate.py", f"run={trained.folder}")
    assert sizes == []
    wider = run_in_process("evaluate.py", f"run={trained.folder}", "beam_size=4")
    assert sizes == [4]
    first, second = figures(same.folder), figures(wider.folder)
    assert first == {name: value for name, value in figures(trained.folder).items() if name.startswith("test/")}
    assert first["test/loss"] == second["test/loss"]
    assert first["test/exact_match"] <= second["test/exact_match"]
    assert first["test/edit_distance_rate"] >= second["test/edit_distance_rate"]
    # What it looks for, it finds: likelier sequences. A beam of 1 is the greedy choice.
    model: Any = primer.load(trained.folder)
    scores = []
    with torch.inference_mode():
        for model.beam_size in (1, 4):
            scores.append(search(model, batches[0])[1].mean().item())
    assert scores[1] > scores[0] + 0.01


def test_a_beam_that_is_none_is_refused(run_in_process) -> None:
    trained = run_in_process("train.py", *SHORT, "trainer.max_epochs=1", "trainer.max_steps=1")
    done = run_in_process("evaluate.py", f"run={trained.folder}", "beam_size=0")
    assert (done.status, done.err.strip()) == (2, "error: beam_size must be at least 1, not 0")
    other = run_in_process("train.py", "trainer.max_steps=1", "accelerator=cpu")
    done = run_in_process("evaluate.py", f"run={other.folder}", "beam_size=2")
    assert (done.status, done.err.strip()) == (2, "error: beam_size=2: MLP writes no sequences, so it has no beam")
