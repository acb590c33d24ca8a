"""``debug=lr_find``: the learning rate range test."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from primer.regularization import Regularization
from primer.run.building import build_data, build_model, build_trainer
from primer.run.probes import run_probe
from primer.run.probes.brief import Probe
from primer.run.probes.lr_find import HIGH, LOW, SKIPPED, STEPS, RangeTest, suggest_lr

RATES = np.geomspace(LOW, HIGH, STEPS)


def make_probe(command: Callable[..., Any], *overrides: str) -> Probe:
    config: Any = OmegaConf.to_container(command("train", "run", "debug=lr_find", *overrides), resolve=True)
    data = build_data(config)
    model = build_model(config, data, Regularization())
    return Probe(config, model, data, build_trainer(config, model, [], []))


@pytest.mark.parametrize("middle", [3e-4, 1e-2, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_suggestion_is_where_the_loss_falls(middle: float, noise: float) -> None:
    falling = 1 / (1 + (RATES / middle) ** 1.5) + 0.05 * np.clip(RATES / middle / 100, 0, None) ** 2
    losses = falling + noise * np.random.default_rng(0).normal(size=STEPS)
    suggested = suggest_lr(RATES.tolist(), losses.tolist())
    assert suggested is not None
    assert middle / 4 < suggested < middle * 6  # The moving average lags by half a factor of 10.


def test_noise_alone_gives_no_suggestion() -> None:
    found = 0
    for seed in range(100):
        losses = 1 + 0.1 * np.random.default_rng(seed).normal(size=STEPS)
        found += suggest_lr(RATES.tolist(), losses.tolist()) is not None
    assert found <= 2
    assert suggest_lr(RATES.tolist(), np.linspace(1, 4, STEPS).tolist()) is None
    assert suggest_lr([], []) is None
    assert suggest_lr(RATES[:SKIPPED].tolist(), [1.0] * SKIPPED) is None


def test_the_rate_grows_exponentially_and_keeps_the_rates_of_the_layers_apart(command) -> None:
    probe = make_probe(command, "data=iris")
    probe.model.lowest_rate = 0.25
    seen: list[list[float]] = []

    class Recording(RangeTest):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            seen.append([group["lr"] for group in optimizer.param_groups])

    test = Recording()
    probe.train(30, test)
    assert test.rates == pytest.approx(RATES[:30].tolist())
    assert [max(rates) for rates in seen] == pytest.approx(test.rates)
    assert [min(rates) for rates in seen] == pytest.approx([rate / 4 for rate in test.rates])


def test_the_loss_of_accumulated_batches_is_their_mean(command) -> None:
    losses = []
    for batches in (1, 4):
        test = RangeTest()
        probe = make_probe(command, "data=digits", "data.batch_size=32", f"trainer.accumulate_grad_batches={batches}")
        probe.train(5, test)
        losses.append(sum(test.losses) / len(test.losses))
        assert len(test.rates) == len(test.losses) == 5
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_weights_and_schedule_are_those_from_before(command, tmp_path) -> None:
    probe = make_probe(command, "data=iris", "scheduler=plateau", "regularization.early_stopping.patience=1")
    before = {name: value.clone() for name, value in probe.model.state_dict().items()}
    schedule = probe.model.schedule
    metrics = run_probe(probe.config, probe.model, probe.datamodule, [], lambda: None)
    assert 1e-4 < metrics["lr_find/lr"] < 0.1
    assert all(value.equal(before[name]) for name, value in probe.model.state_dict().items())
    assert probe.model.schedule is schedule


def test_the_run_folder_and_the_suggested_override(run_in_process) -> None:
    result = run_in_process("train.py", "debug=lr_find", "data=iris", "seed=1")
    assert (result.status, result.err) == (0, "")
    override = next(line for line in result.out.splitlines() if line.startswith("optimizer.lr="))
    folder = result.folder
    assert override == f"optimizer.lr={json.loads((folder / 'metrics.json').read_text())['lr_find/lr']:g}"
    with (folder / "lr_find.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == pytest.approx(RATES[: len(rows)].tolist())
    assert (folder / "pictures" / "lr_find.png").read_bytes().startswith(b"\x89PNG")
    for name in ("config.yaml", "overrides.yaml", "environment.json"):
        assert (folder / name).is_file()
    assert "Learning rate range test" in (folder / "report.html").read_text()
    assert not (folder / "checkpoints").exists()

    def loss(override: str) -> float:
        quick = ("trainer.max_epochs=5", "~callbacks.pictures", "~callbacks.report")
        done = run_in_process("train.py", "data=iris", "seed=1", override, *quick)
        return json.loads((done.folder / "metrics.json").read_text())["train/loss"]

    lr = float(override.partition("=")[2])
    assert loss(override) < min(loss(f"optimizer.lr={lr / 100:g}"), loss(f"optimizer.lr={lr * 1000:g}"))


def test_what_a_probe_does_not_apply_to_is_one_line(run_in_process, tmp_path) -> None:
    run, quick = tmp_path / "run", ("data=iris", "trainer.max_epochs=1", "callbacks=[_checkpoint,_last]")
    assert run_in_process("train.py", *quick, f"hydra.run.dir={run}").status == 0
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    for overrides, message in (
        ("accelerator=ddp_cpu", "probe=lr_find uses one device"),
        (f"resume={run} trainer.max_epochs=3", "probe=lr_find does not continue a run"),
    ):
        result = run_in_process("train.py", *overrides.split(), "probe=lr_find")
        assert result.status == 2
        assert message in result.err
        assert len(result.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("logs/*/runs/*"))
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
