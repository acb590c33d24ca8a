"""The encoder-decoder normalizes unseen dates."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.config.paths import ROOT
from primer.data.text.dates import Dates
from primer.models.encoder_decoder.seq2seq import Seq2Seq


def test_seq2seq_beats_constant_predictions_on_unseen_dates(quiet_trainer: Callable[..., Any]) -> None:
    """A few seconds of training on 700 dates suffice to get most unseen dates right. The baselines ignore the source
    and predict the most frequent target and the most frequent token of each step."""
    torch.manual_seed(0)
    data = Dates(samples=1000, batch_size=16).prepare()
    model = Seq2Seq(data.spec)
    model.optimizer = functools.partial(torch.optim.Adam, lr=0.005)
    quiet_trainer(max_epochs=5).fit(model, datamodule=data)
    quiet_trainer().test(model, datamodule=data, verbose=False)
    values = {name: value.item() for name, value in model.trainer.callback_metrics.items()}
    train, test = (data.parts[part].targets for part in ("train", "test"))
    assert isinstance(train, Tensor)
    assert isinstance(test, Tensor)
    rows, counts = torch.unique(train, dim=0, return_counts=True)
    baseline_match = (test == rows[counts.argmax()]).all(dim=1).float().mean().item()
    baseline_accuracy = (test == train.mode(dim=0).values).float().mean().item()
    assert values["test/exact_match"] > baseline_match + 0.8
    assert values["test/token_accuracy"] > baseline_accuracy + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_the_default_run_reaches_99_percent_on_unseen_dates(attention: str, tmp_path: Path) -> None:
    """The default run of 20 epochs predicts 99 % of 2,000 unseen dates correctly."""
    command = [sys.executable, "train.py", "model=seq2seq", f"model.attention={attention}", f"hydra.run.dir={tmp_path}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=900)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test/exact_match"] >= 0.99
