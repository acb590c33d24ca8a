"""Many small models trained together (``hydra/launcher=vmap``) compared with one after the other, in one process: the
ratio of their times, and the largest difference of any metric of any run.

``python -m benchmarks.vmap accelerator=gpu trainer.max_epochs=100`` passes settings on to the runs.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.run import train
from primer.run.members import Job
from primer.run.together import train_together
from primer.run.training import resolve

SEEDS, RATES = range(8), (0.0003, 0.001, 0.003, 0.01)
# A smooth activation: with ReLU, rounding decides now and then whether a unit is active, and the runs part from there.
SETTINGS = (
    "model=mlp", "model.activation=tanh", "data=digits", "accelerator=cpu", "trainer.max_epochs=10",
    "callbacks=[_checkpoint,_last,_stop_on_nan]",
)  # fmt: skip


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    base = compose_checked("train", [*SETTINGS, *sys.argv[1:]])
    OmegaConf.set_struct(base, False)
    del base["hydra"]
    runs = list(itertools.product(SEEDS, RATES))
    device = base.accelerator.accelerator
    print(f"vmap: {len(runs)} MLPs on digits, {base.trainer.max_epochs} epochs, {device}; one by one against together")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        train_alone(base, runs[:1], root / "warm up")
        train_all_together(base, runs[:2], root / "warm up together")
        alone = train_alone(base, runs, root / "alone")
        together = train_all_together(base, runs, root / "together")
        fit, fit_together = (fit_seconds(root / kind, len(runs)) for kind in ("alone", "together"))
        print(f"  training    {fit:6.1f} s against {fit_together:5.1f} s: {fit / fit_together:.2f} times as fast")
        print(f"  whole runs  {alone:6.1f} s against {together:5.1f} s: {alone / together:.2f} times as fast")
        differences = [difference(root / "alone" / str(k), root / "together" / str(k)) for k in range(len(runs))]
        value, name = max(differences)
        print(f"  largest difference of a metric: {value:.1e} ({name})")


def train_alone(base: Any, runs: list[tuple[int, float]], folder: Path) -> float:
    """Trains one run after the other, and returns the time in seconds."""
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        for number, run in enumerate(runs):
            train(config(base, run, folder / str(number)))
    return time.perf_counter() - started


def train_all_together(base: Any, runs: list[tuple[int, float]], folder: Path) -> float:
    """Trains all runs together, and returns the time in seconds."""
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        configs = [config(base, run, folder / str(number)) for number, run in enumerate(runs)]
        for cfg, trained in zip(configs, train_together([Job(resolve(cfg), []) for cfg in configs]), strict=True):
            train(cfg, trained=trained)
    return time.perf_counter() - started


def config(base: Any, run: tuple[int, float], folder: Path) -> Any:
    """Returns the config of a run."""
    cfg = base.copy()
    cfg.seed, cfg.optimizer.lr = run
    cfg.paths.output_dir = str(folder)
    return cfg


def fit_seconds(folder: Path, runs: int) -> float:
    """Returns the time that the training of all runs took."""
    return sum(read(folder / str(number))["fit_seconds"] for number in range(runs))


def difference(first: Path, second: Path) -> tuple[float, str]:
    """Returns the largest difference between the metrics of two runs, of all epochs and of the test, and its name."""
    differences = [(0.0, "")]
    one, other = read(first), read(second)
    differences += [(abs(one[name] - other[name]), name) for name in one if name != "fit_seconds"]
    for row, same in zip(history(first), history(second), strict=True):
        differences += [(abs(float(row[name]) - float(same[name])), f"{name} in {row['epoch']}") for name in row]
    return max(differences)


def read(run: Path) -> dict[str, float]:
    """Returns the metrics of a run."""
    return json.loads((run / "metrics.json").read_text())


def history(run: Path) -> list[dict[str, str]]:
    """Returns the rows of ``metrics.csv``."""
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
