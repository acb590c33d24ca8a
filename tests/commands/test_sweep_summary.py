"""The summary of a sweep: a table on the terminal, ``summary.csv`` and ``summary.html``."""

from __future__ import annotations

import csv
import re
import statistics
from pathlib import Path

import pytest

from primer.__main__ import main
from primer.data.tables.tables import Wine
from primer.records.jobs import Job, read_jobs, write_job
from primer.reports.sweep import importance, read_sweep

TINY = ("trainer.max_epochs=2", "callbacks=[_checkpoint,_last,_stop_on_nan]")


def sweep_folder(out: str) -> Path:
    """Returns the folder of the sweep, from the last line of the output."""
    return Path(out.strip().splitlines()[-1].removeprefix("sweep: "))


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_of_models_and_seeds(run_in_process, capfd) -> None:
    result = run_in_process("train.py", "-m", "model=mlp,linear", "seed=0,1,2", "data=iris", *TINY)
    assert result.status == 0, result.err
    folder = result.folder
    rows = read_csv(folder)
    assert [row["status"] for row in rows] == ["done"] * 6
    losses = [float(row["best/val/loss"]) for row in rows]
    assert losses == sorted(losses)
    for model in ("mlp", "linear"):
        own = [float(row["best/val/loss"]) for row in rows if row["model"] == model]
        cell = f"{statistics.fmean(own):.4g} ± {statistics.stdev(own):.2g}"
        assert cell in result.out
        assert cell in (folder / "summary.html").read_text()
    assert all(float(row["seconds"]) > 0 for row in rows)
    page = (folder / "summary.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|https?://", page)
    assert page.count("data:image/png") == 2  # Parallel coordinates and curves.
    (folder / "summary.csv").unlink()
    capfd.readouterr()
    assert main(["report", str(folder)]) == 0
    assert read_csv(folder) == rows
    assert "means ± standard deviations" in capfd.readouterr().out


def test_failed_jobs_are_rows_with_their_reason(run_in_process, monkeypatch) -> None:
    def crash(self) -> None:
        raise RuntimeError("no wine")

    monkeypatch.setattr(Wine, "read", crash)
    sgd = ("optimizer=sgd", "optimizer.lr=0.1,1e30", "data.batch_size=8")
    result = run_in_process("train.py", "-m", "data=iris,wine", *sgd, "data.train_size=40,5000", *TINY)
    assert result.status == 1
    rows = {row["job"]: row for row in read_csv(result.folder)}
    assert [rows[str(k)]["status"] for k in range(8)] == ["done", *["failed"] * 7]
    assert "train_size" in rows["1"]["reason"]
    assert rows["2"]["reason"].startswith("diverged in step")
    assert rows["4"]["reason"] == "RuntimeError: no wine"
    assert next(iter(rows)) == "0"
    assert result.err.splitlines()[-8] == "7 of the jobs failed:"


def test_importance_is_the_variance_between_values(tmp_path) -> None:
    """In a full grid in which only the rate matters, it explains all of the variance, and the seed none."""
    for number, (lr, width) in enumerate((lr, width) for lr in (1, 2, 3) for width in (8, 16)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.yaml").write_text(f"monitor: val/loss\nmode: min\noptimizer: {{lr: {lr}}}\nwidth: {width}\n")
        (folder / "metrics.json").write_text(f'{{"best/val/loss": {lr}}}')
        overrides = [f"optimizer.lr={lr}", f"width={width}"]
        write_job(tmp_path, Job(number, overrides, "done", str(folder), seconds=1.0, values=[float(lr)]))
    assert importance(read_sweep(tmp_path)) == pytest.approx({"optimizer.lr": 1.0, "width": 0.0})


def test_a_job_that_was_cut_off_is_a_row(tmp_path) -> None:
    write_job(tmp_path, Job(0, ["seed=0"], "running", str(tmp_path / "0")))
    write_job(tmp_path, Job(1, ["seed=1"], "failed", reason="a <b> reason"))
    assert main(["report", str(tmp_path)]) == 0
    assert [row["status"] for row in read_csv(tmp_path)] == ["cut off", "failed"]
    assert "a &lt;b&gt; reason" in (tmp_path / "summary.html").read_text()
    assert len(read_jobs(tmp_path)) == 2


def test_a_damaged_record_is_one_line(tmp_path, capsys) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "0.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 2
    assert "0.json cannot be read" in capsys.readouterr().err
