"""``python -m primer compare``: settings that differ, means over seeds, and the page."""

from __future__ import annotations

import csv
import json
import re
import statistics
from pathlib import Path

import pytest
import yaml

from primer.__main__ import main
from primer.cli.comparing import compare_command
from primer.errors import InputError
from primer.records.runs import find_runs
from primer.reports.comparison import compare, number


def write_run(folder: Path, *, loss: float | None, seed: int = 0, monitor: str = "val/loss", mode: str = "min",
              lr: float = 0.1, note: str = "") -> Path:  # fmt: skip
    folder.mkdir(parents=True)
    config = {
        "seed": seed, "monitor": monitor, "mode": mode, "optimizer": {"lr": lr}, "note": note,
        "paths": {"output_dir": str(folder)}, "callbacks": {"checkpoint": {"dirpath": f"{folder}/checkpoints"}},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text(yaml.safe_dump([f"seed={seed}", f"optimizer.lr={lr}"]))
    if loss is not None:
        (folder / "metrics.csv").write_text(f"epoch,step,train/loss,{monitor}\n0,9,3,4\n1,19,2,{loss}\n")
        metrics = {f"best/{monitor}": loss, "best/epoch": 2, "test/accuracy": loss / 10, "test/f1": None}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    losses = ((0, 0.1, 3.0), (1, 0.1, 5.0), (0, 0.01, 1.0), (1, 0.01, 2.0))
    for k, (seed, lr, loss) in enumerate(losses):
        write_run(tmp_path / "sweep" / str(k), loss=loss, seed=seed, lr=lr)
    return tmp_path / "sweep"


def test_runs_are_sorted_and_repetitions_are_averaged(sweep: Path) -> None:
    comparison = compare(find_runs([sweep]))
    assert [run.folder.name for run in comparison.runs] == ["2", "3", "0", "1"]
    assert comparison.differences == {"seed": [0, 1, 0, 1], "optimizer.lr": [0.01, 0.01, 0.1, 0.1]}
    best, other = comparison.groups
    assert (best.label, other.label) == ("optimizer.lr=0.01", "optimizer.lr=0.1")
    assert best.mean("best/val/loss") == 1.5
    assert other.deviation("best/val/loss") == pytest.approx(statistics.stdev([3.0, 5.0]))


def test_a_metric_for_which_higher_is_better_sorts_downward(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(k), loss=value, monitor="val/accuracy", mode="max", lr=k) for k, value in
            enumerate((0.5, 0.9, 0.7))]  # fmt: skip
    comparison = compare(find_runs(runs))
    assert [run.folder.name for run in comparison.runs] == ["1", "2", "0"]
    assert not comparison.repeated
    assert comparison.groups[0].deviation("best/val/accuracy") is None


def test_a_run_that_did_not_finish_is_last_and_marked(sweep: Path) -> None:
    write_run(sweep / "4", loss=None, lr=1)
    assert compare(find_runs([sweep])).runs[-1].folder.name == "4"
    assert "(not finished)" in compare_command([str(sweep)])


def test_runs_that_monitor_different_metrics_keep_their_order(tmp_path: Path) -> None:
    runs = [str(write_run(tmp_path / "b", loss=2)), str(write_run(tmp_path / "a", loss=1, monitor="val/f1"))]
    assert compare(find_runs(runs)).goal is None
    assert "they have no common metric" in compare_command(runs)


def test_the_goal_is_the_one_that_the_run_found_rather_than_the_configured_one(tmp_path: Path) -> None:
    for name, value in (("a", 0.5), ("b", 0.9)):
        folder = write_run(tmp_path / name, loss=value, monitor="val/accuracy", mode="max")
        (folder / "report.json").write_text(json.dumps({"monitor": "val/accuracy", "mode": "max"}))
        text = (folder / "config.yaml").read_text().replace("val/accuracy", "null").replace("mode: max", "mode: null")
        (folder / "config.yaml").write_text(text)
    comparison = compare(find_runs([tmp_path]))
    assert comparison.goal == ("best/val/accuracy", "max")
    assert [run.folder.name for run in comparison.runs] == ["b", "a"]


def test_pictures_and_the_report_are_not_a_difference(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = write_run(tmp_path / name, loss=1)
        (folder / "overrides.yaml").write_text(f"[callbacks.pictures={name}]")
        with (folder / "config.yaml").open("a") as file:
            file.write(f"logger: {{csv: {{name: {name}}}}}\n")
    comparison = compare(find_runs([tmp_path]))
    assert comparison.differences == {}
    assert [comparison.own_overrides(run) for run in comparison.runs] == [[], []]
    assert "settings that differ" not in compare_command([str(tmp_path)])


def test_numbers_have_their_significant_digits() -> None:
    assert number(2802.37, 137.2) == "2802 ± 140"
    assert number(12345.6) == "12350"
    assert number(0.0000123) == "1.23e-05"
    assert number(1.5, 0.0) == "1.5 ± 0"
    assert number(None) == "–"


def test_files(sweep: Path, tmp_path: Path) -> None:
    write_run(sweep / "10", loss=9, note="<script>alert(1)</script>", lr=0.5)
    printed = compare_command([str(sweep), f"csv={tmp_path}/c.csv", f"html={tmp_path}/c.html"])
    assert f"csv: {tmp_path}/c.csv" in printed
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["best/val/loss"] for row in rows] == ["1.0", "2.0", "3.0", "5.0", "9.0"]
    assert rows[-1]["note"] == "<script>alert(1)</script>"
    page = (tmp_path / "c.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "1.5 ± 0.71" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "x"], "there is no run folder nowhere"),
        (["{sweep}/0"], "compare needs at least two runs"),
        ([], "compare needs at least two runs"),
        (["{sweep}/.."], "is neither the folder of a run nor that of a sweep"),
        (["{sweep}", "xlsx=a"], "xlsx=a: there is no setting xlsx"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *(argument.format(sweep=sweep) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(("file", "content"), [("config.yaml", "a: [1"), ("metrics.json", "{"), ("metrics.json", "[]")])
def test_a_damaged_file_is_one_line(file: str, content: str, sweep: Path) -> None:
    (sweep / "1" / file).write_text(content)
    with pytest.raises(InputError, match=file):
        find_runs([sweep])


def test_a_damaged_history_is_one_line(sweep: Path, tmp_path: Path) -> None:
    (sweep / "1" / "metrics.csv").write_text("epoch,step,train/loss\n0,9,three\n")
    with pytest.raises(InputError, match=r"metrics\.csv cannot be read"):
        compare_command([str(sweep), f"html={tmp_path}/c.html"])
    assert not (tmp_path / "c.html").exists()
