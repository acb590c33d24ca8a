"""Search with pruning compared with random search for the same number of epochs, on digits; and a sweep that is killed
in the middle of a trial and resumed."""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from primer.callbacks.pruning import load_study
from primer.records.jobs import read_jobs

ROOT = Path(__file__).parents[1]
EPOCHS = 9
SPACE = [
    "optimizer.lr=tag(log,interval(1e-5,1))",
    "model.hidden_sizes=[16],[64],[256],[64,64]",
    "model.activation=relu,tanh,sigmoid",
    "regularization.dropout=interval(0.0,0.6)",
]
COMMON = [
    "data=digits", "hydra/sweeper=optuna", "callbacks=[_checkpoint,_last,_stop_on_nan]", "logger=none", "test=false",
    f"trainer.max_epochs={EPOCHS}", *SPACE,
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pruner", default="halving")
    arguments = parser.parse_args()
    print(f"sweeps: best validation loss on digits, {arguments.trials} trials of up to {EPOCHS} epochs")
    best: dict[str, list[float]] = {"pruned": [], "random": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            pruned = search(Path(folder) / f"pruned{seed}", seed, arguments.trials, arguments.pruner)
            epochs = sum(len(trial.intermediate_values) for trial in pruned.get_trials())
            early = [len(trial.intermediate_values) for trial in pruned.get_trials() if trial.state.name == "PRUNED"]
            random = search(Path(folder) / f"random{seed}", seed, max(1, round(epochs / EPOCHS)), "none", "random")
            best["pruned"].append(pruned.best_value)
            best["random"].append(random.best_value)
            print(
                f"  seed {seed}: TPE with {arguments.pruner} {pruned.best_value:.4f}, {len(early)} pruned, {epochs} "
                f"epochs; random {random.best_value:.4f}, {len(random.get_trials())} trials",
                flush=True,
            )
        print("  mean: " + ", ".join(f"{name} {statistics.fmean(values):.4f}" for name, values in best.items()))
        print(f"  killed and resumed: {kill_and_resume(Path(folder) / 'killed', arguments.trials)}")


def search(folder: Path, seed: int, trials: int, pruner: str, sampler: str = "tpe"):
    """Runs a sweep and returns its study."""
    subprocess.run([*command(folder, seed, trials, pruner, sampler)], cwd=ROOT, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    return load_study(folder / "study.log")


def command(folder: Path, seed: int, trials: int, pruner: str, sampler: str = "tpe") -> list[str]:
    """Returns the command of a sweep."""
    return [
        sys.executable, "train.py", "-m", *COMMON, f"hydra.sweeper.n_trials={trials}", f"hydra/sweeper/pruner={pruner}",
        f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.sampler.seed={seed}", f"hydra.sweep.dir={folder}",
    ]  # fmt: skip


def kill_and_resume(folder: Path, trials: int) -> str:
    """Kills a sweep while its trial in the middle trains, resumes it, and describes the trials that it ends with."""
    middle = trials // 2
    with subprocess.Popen(
        command(folder, 0, trials, "none"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not reported(folder, middle):
            assert process.poll() is None, "the sweep ended before it was killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    before = load_study(folder / "study.log").get_trials()
    resume = [sys.executable, "train.py", "-m", f"sweep.resume={folder}"]
    subprocess.run(resume, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after, jobs = load_study(folder / "study.log").get_trials(), read_jobs(folder)
    states = Counter(trial.state.name.lower() for trial in after)
    same = all(old.params == new.params for old, new in zip(before, after, strict=False))
    resumed = [job.number for job in jobs if job.resume]
    return (
        f"killed in trial {before[-1].number} after {len(before[-1].intermediate_values)} epochs; ends with "
        f"{len(after)} trials ({dict(states)}), {len({job.number for job in jobs})} jobs, resumed: {resumed}, earlier "
        f"trials {'unchanged' if same else 'changed'}"
    )


def reported(folder: Path, number: int) -> bool:
    """Whether a trial of a sweep has reported an epoch."""
    if not (folder / "study.log").exists():
        return False
    trials = load_study(folder / "study.log").get_trials(deepcopy=False)
    return len(trials) > number and len(trials[number].intermediate_values) > 1


if __name__ == "__main__":
    main()
