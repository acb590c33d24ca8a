"""``debug=batch_size``: throughput and memory per batch size."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
import torch

from primer.run.probes import batch_size
from primer.run.probes.batch_size import Measurement, batch_sizes, fastest, is_rising


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "SECONDS", 0.01)


def test_sizes_are_powers_of_2_and_the_whole_part() -> None:
    assert batch_sizes(20) == [4, 8, 16, 20]
    assert batch_sizes(16) == [4, 8, 16]
    assert batch_sizes(3) == [3]


def test_the_fastest_is_the_smallest_of_those_that_are_about_as_fast() -> None:
    found = [Measurement(4, 10, None), Measurement(8, 98, None), Measurement(16, 100, None), Measurement(32, 90, None)]
    assert fastest(found).batch_size == 8
    assert is_rising([10, 98])
    assert is_rising([10, 98, 100])
    assert not is_rising([10, 98, 100, 90])
    assert is_rising([10, 98, 90, 120])


def test_the_run_folder_and_the_suggested_override(run_in_process, monkeypatch) -> None:
    monkeypatch.setattr(batch_size, "is_rising", lambda throughputs: True)
    result = run_in_process("train.py", "debug=batch_size", "data=iris", "trainer.limit_train_batches=1")
    assert (result.status, result.err) == (0, "")
    with (result.folder / "batch_size.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["batch_size"]) for row in rows] == [4, 8, 16, 32, 64, 105]
    assert all(float(row["samples_per_second"]) > 0 and int(row["peak_memory_bytes"]) > 1e7 for row in rows)
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["batch_size/largest"] == 105
    assert f"data.batch_size={metrics['batch_size/fastest']}" in result.out.splitlines()
    assert "largest that fits: data.batch_size=105 (one batch is the whole training part)" in result.out
    assert not (result.folder / "checkpoints").exists()


def test_it_ends_where_memory_is_full(run_in_process, monkeypatch) -> None:
    measure = batch_size.measure

    def limited(probe: Any, size: int) -> Measurement:
        if size > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return measure(probe, size)

    monkeypatch.setattr(batch_size, "measure", limited)
    result = run_in_process("train.py", "debug=batch_size", "data=iris")
    assert (result.status, result.err) == (0, "")
    assert "largest that fits: data.batch_size=16 (more does not fit in memory)" in result.out


def test_without_a_gpu_it_ends_where_the_throughput_no_longer_rises(run_in_process, monkeypatch) -> None:
    rates = {4: 100.0, 8: 150.0, 16: 151.0, 32: 149.0}
    monkeypatch.setattr(batch_size, "measure", lambda probe, size: Measurement(size, rates[size], None))
    result = run_in_process("train.py", "debug=batch_size", "data=iris", "accelerator=cpu")
    assert (result.status, result.err) == (0, "")
    assert "batches of more than 32 were not tried" in result.out
    assert "data.batch_size=8" in result.out.splitlines()


def test_streams_of_tokens_end_with_the_whole_text(run_in_process, monkeypatch) -> None:
    monkeypatch.setattr(batch_size, "measure", lambda probe, size: Measurement(size, float(size), None))
    result = run_in_process("train.py", "debug=batch_size", "data=text", "model=lstm", "data.sequence_length=512")
    assert (result.status, result.err) == (0, "")
    largest = json.loads((result.folder / "metrics.json").read_text())["batch_size/largest"]
    assert 263_000 / 512 <= largest <= 2 * 264_000 / 512


def test_an_error_that_is_not_about_memory_is_not_hidden(run_in_process, monkeypatch) -> None:
    def broken(probe: Any, size: int) -> Measurement:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(batch_size, "measure", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run_in_process("train.py", "debug=batch_size", "data=iris")
