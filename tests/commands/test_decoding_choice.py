"""The beam size can be changed for an evaluation."""

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


def read_metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_evaluation_uses_the_requested_beam_size(run_in_process, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    batches: list[Batch] = []
    search = Seq2Seq.search

    def recorded(self: Seq2Seq, batch: Batch) -> Any:
        sizes.append(self.beam_size)
        batches.append(batch)
        return search(self, batch)

    monkeypatch.setattr(Seq2Seq, "search", recorded)
    trained = run_in_process("train.py", *SHORT)
    assert (trained.folder / "pictures" / "attention.png").exists()
    assert sizes == []
    default = run_in_process("evaluate.py", f"run={trained.folder}")
    assert sizes == []
    wider = run_in_process("evaluate.py", f"run={trained.folder}", "beam_size=4")
    assert sizes == [4]
    greedy, wide = read_metrics(default.folder), read_metrics(wider.folder)
    assert greedy == {name: value for name, value in read_metrics(trained.folder).items() if name.startswith("test/")}
    assert greedy["test/loss"] == wide["test/loss"]
    assert greedy["test/exact_match"] <= wide["test/exact_match"]
    assert greedy["test/edit_distance_rate"] >= wide["test/edit_distance_rate"]
    # A wider beam finds more probable sequences. A beam size of 1 is greedy decoding.
    model: Any = primer.load(trained.folder)
    scores = []
    with torch.inference_mode():
        for model.beam_size in (1, 4):
            scores.append(search(model, batches[0])[1].mean().item())
    assert scores[1] > scores[0] + 0.01


def test_an_invalid_beam_size_is_rejected(run_in_process) -> None:
    trained = run_in_process("train.py", *SHORT, "trainer.max_epochs=1", "trainer.max_steps=1")
    result = run_in_process("evaluate.py", f"run={trained.folder}", "beam_size=0")
    assert (result.status, result.err.strip()) == (2, "error: beam_size must be at least 1, not 0")
    mlp = run_in_process("train.py", "trainer.max_steps=1", "accelerator=cpu")
    result = run_in_process("evaluate.py", f"run={mlp.folder}", "beam_size=2")
    assert (result.status, result.err.strip()) == (2, "error: beam_size=2: MLP does not use beam search")
