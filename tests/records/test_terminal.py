"""What a run prints: short lines, nothing of other libraries, and what a job of a sweep is about."""

from __future__ import annotations

import io
import json
import logging

import pytest
from rich.console import Console

from primer.callbacks import progress
from primer.callbacks.progress import epoch_line
from primer.cli.listing import compatibility_list, compatible_pairs
from primer.records import library_logs
from primer.run import profile

METRICS = {"val/loss": 1.2345e-05, "val/accuracy": 0.91111, "val/f1": 0.9, "val/recall": 0.8, "train/loss": 0.0012345}


def test_the_line_of_an_epoch_fits_80_columns() -> None:
    line = epoch_line("epoch 100/200", METRICS, "val/accuracy", True, 12.34)
    assert line == "epoch 100/200  train/loss 0.001234  val/accuracy 0.9111  best  12.3 s"
    line = epoch_line("epoch 10/20", METRICS, "val/accuracy", True, 2.34)
    assert line == "epoch 10/20  train/loss 0.001234  val/loss 1.234e-05  val/accuracy 0.9111  best"
    short = epoch_line("epoch 1/2", METRICS, "val/loss", False, 0.31)
    assert short == "epoch 1/2  train/loss 0.001234  val/loss 1.234e-05  val/accuracy 0.9111  0.3 s"
    others = epoch_line("epoch 1/2", {"train/d_loss": 1.0, "train/g_loss": 2.0}, "None", False, 0.31)
    assert others == "epoch 1/2  train/d_loss 1  train/g_loss 2  0.3 s"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_number_is_broken(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(progress, "console", Console(file=io.StringIO(), width=width))
    line = epoch_line("epoch 100/200", METRICS, "val/accuracy", True, 12.34)
    assert len(line) <= min(width, 80)
    cells = line.split("  ")
    assert cells[0] == "epoch 100/200"
    assert "val/accuracy 0.9111" in cells
    assert all(f"{METRICS[cell.split()[0]]:.4g}" == cell.split()[1] for cell in cells if "/" in cell.split()[0])


@pytest.mark.parametrize("width", [60, 80])
def test_the_list_fits_the_terminal_and_names_every_pair(width: int) -> None:
    text = compatibility_list(width)
    assert max(map(len, text.splitlines())) <= width
    listed = set()
    for block in text.split("\n\n"):
        data, models = (" ".join(part.split()).split(", ") for part in block.split("  data ")[1].split("  models "))
        listed |= {(model, one) for model in models for one in data}
    assert listed == set(compatible_pairs())


@pytest.fixture
def _logged() -> None:
    """Lets Lightning log what it logs outside of tests."""
    logging.getLogger("lightning").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)


@pytest.mark.usefixtures("_logged")
def test_a_run_prints_nothing_of_other_libraries(run_in_process) -> None:
    result = run_in_process("train.py", "debug=fast", "trainer.max_epochs=2", "logger=none")
    assert result.status == 0
    assert result.err == ""
    first, *lines = result.out.splitlines()
    assert first == "training mlp on digits"
    starts = ("primer", "results", "  ", "epoch 1/2  train/loss ", "epoch 2/2  train/loss ", "run: ")
    assert [line for line in lines if not line.startswith(starts)] == []
    assert [line for line in lines if len(line) > 80 and not line.startswith("run: ")] == []
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == 2
    assert "  best" in epochs[0]
    log = (result.folder / "debug.log").read_text(encoding="utf-8")
    assert "max_epochs=2" in log  # What Lightning says about the run is kept.
    for text in library_logs.NOISE:
        assert text not in log


def test_advertising_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(library_logs.is_wanted)
    logging.getLogger("some.library").warning("💡 Tip: buy %s", "this")
    logging.getLogger("some.library").warning("a warning about %s", "that")
    assert caplog.messages == ["a warning about that"]


def test_a_job_of_a_sweep_shows_its_overrides(run_in_process) -> None:
    result = run_in_process("train.py", "-m", "seed=0,1", "debug=fast", "logger=none", "callbacks=none", "test=false")
    assert result.status == 0, result.err
    jobs = [line for line in result.out.splitlines() if line.startswith(("job 0:", "job 1:"))]
    assert [line.split()[:3] for line in jobs] == [["job", "0:", "seed=0"], ["job", "1:", "seed=1"]]


@pytest.mark.usefixtures("_logged")
def test_a_profiled_run_prints_its_table(run_in_process) -> None:
    result = run_in_process("train.py", "debug=profile", "trainer.limit_train_batches=2", "callbacks=none")
    assert result.status == 0, result.err
    assert "\nprofile\n" in result.out
    table = result.out.split("\nprofile\n")[1].splitlines()
    rows = [line for line in table if line.startswith("  ")]
    assert any(line.startswith("  MLP.optimizer_step") and "=      4 x" in line for line in rows)
    assert max(map(len, rows)) <= 80
    assert "FIT Profiler Report" in (result.folder / "debug.log").read_text(encoding="utf-8")
    assert len(profile.short("[Callback]" + "x" * 99)) == profile.NAME_LENGTH


def test_a_run_without_a_progress_callback_prints_no_epochs(run_in_process) -> None:
    result = run_in_process("train.py", "debug=fast", "logger=none", "callbacks=none", "test=false")
    assert "epoch 1/1" not in result.out
    assert json.loads((result.folder / "metrics.json").read_text())["epochs"] == 1
