"""Sweeps that are ready to run: ``sweep=lr`` and the like. Each ends in a picture."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from primer.__main__ import main
from primer.cli.checks import check_config
from primer.cli.choices import groups
from primer.cli.composition import compose_checked
from primer.records.jobs import Job, write_job
from primer.reports.sweep import read_sweep
from primer.reports.sweep_pictures import PICTURES, draw_curves, draw_folds

SWEEPS = [name for name in groups()["sweep"] if name != "none"]


def jobs_of(sweep: str) -> list[list[str]]:
    """Returns the overrides of the jobs of a sweep."""
    params = compose_checked("train", [f"sweep={sweep}"]).hydra.sweeper.params
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    return BasicSweeper.split_arguments(parsed, None)[0]


def write_jobs(folder: Path, sweep: str) -> None:
    """Writes run folders of a sweep as training would, with a result for each job but the last, which failed."""
    jobs = jobs_of(sweep)
    for number, overrides in enumerate(jobs):
        run = folder / str(number)
        if number == len(jobs) - 1:
            write_job(folder, Job(number, overrides, "failed", str(run), "diverged", 1.0, exit_status=1))
            continue
        run.mkdir()
        config: dict = {"monitor": "val/loss", "mode": "min", "sweep": {"picture": PICTURE[sweep]}}
        for key, value in (text.split("=") for text in overrides):
            node = config
            *parents, last = key.split(".")
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = float(value) if value[0].isdigit() and "e" in value else yaml.safe_load(value)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        names = {"best/val/loss": 1, "train/loss": 2, "val/loss": 3, "test/loss": 1, "fit_seconds": 4}
        (run / "metrics.json").write_text(json.dumps({name: scale / (number + 1) for name, scale in names.items()}))
        (run / "metrics.csv").write_text(f"epoch,step,val/loss\n0,1,3\n1,2,{1 / (number + 1)}\n")
        write_job(folder, Job(number, overrides, "done", str(run), seconds=1.0, values=[1 / (number + 1)]))


PICTURE = {sweep: compose_checked("train", [f"sweep={sweep}"]).sweep.picture for sweep in SWEEPS}


def test_every_picture_belongs_to_a_sweep() -> None:
    assert {*PICTURE.values()} == PICTURES.keys()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_has_valid_jobs_and_ends_in_a_picture(sweep: str, tmp_path: Path) -> None:
    jobs = jobs_of(sweep)
    assert len(jobs) > 2
    for overrides in jobs:
        check_config(compose_checked("train", [f"sweep={sweep}", *overrides]), "train")
    write_jobs(tmp_path, sweep)
    assert main(["report", str(tmp_path)]) == 0
    with Image.open(tmp_path / "sweep.png") as picture:
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 50
    assert "The answer of the sweep" in (tmp_path / "summary.html").read_text()


def test_curves_show_the_spread_over_seeds(tmp_path: Path) -> None:
    write_jobs(tmp_path, "seeds")
    sweep = read_sweep(tmp_path)
    assert sweep.comparison
    (axes,) = draw_curves(sweep, sweep.comparison.groups, "best/val/loss").axes
    last = [1 / (number + 1) for number in range(4)]
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(statistics.fmean(last))
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(3)
    assert band.min() == pytest.approx(statistics.fmean(last) - statistics.stdev(last))
    assert axes.get_legend().get_texts()[0].get_text() == "all runs"


def test_all_optimizers_but_those_for_sparse_gradients_are_compared() -> None:
    names = {overrides[0].removeprefix("optimizer=") for overrides in jobs_of("optimizers")}
    assert names == {*groups()["optimizer"]} - {"sparse_adam", "word2vec", "glove", "gan"}


def test_folds_run_from_start_to_picture(run_in_process) -> None:
    tiny = ("data=iris", "model=linear,mlp", "trainer.max_epochs=1", "callbacks=[_checkpoint]", "data.fold=0,1")
    result = run_in_process("train.py", "-m", "sweep=folds", *tiny)
    assert result.status == 0, result.err
    sweep = read_sweep(result.folder)
    assert sweep.comparison
    axes = draw_folds(sweep, sweep.comparison.groups, "val/loss").axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(label.split()[0] for label in labels) == ["linear", "mlp"]  # Each has a mean of its own.
    for group, line in zip(sweep.comparison.groups, axes.lines[::2], strict=True):
        assert line.get_ydata()[0] == pytest.approx(group.mean("val/loss"))
    picture, *_ = [line for line in result.out.splitlines() if line.startswith("picture: ")]
    assert Path(picture.removeprefix("picture: ")).is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("sweep=lr",), "sweep=lr makes a sweep, which requires -m"),
        (("-m", "sweep=rates"), "there is no such sweep"),
        (("-m", "seed=0,1", "sweep.picture=pie"), "sweep.picture must be one of lr, bars"),
        (("-m", "seed=0,1", "sweep.resum=x"), "did you mean resume?"),
    ],
)
def test_mistakes_are_one_line(run_in_process, overrides, message) -> None:
    result = run_in_process("train.py", *overrides)
    assert result.status == 2
    assert message in result.err
