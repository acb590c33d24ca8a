"""The averaged weights are evaluated, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

import primer
from primer.callbacks import EMA
from primer.checkpoints.resume import Resume
from primer.data.images.digits import Digits
from primer.models.feedforward.mlp import MLP
from primer.objectives.ranking import MAX_BINS
from primer.run.training import train

Trainer = Callable[..., L.Trainer]


class Trace(L.Callback):
    """Records the weights after each step, and the weights that are validated."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: L.LightningModule, *_: Any) -> None:
        self.steps.append(copied(pl_module))

    def on_validation_batch_end(self, trainer: Any, pl_module: L.LightningModule, *_: Any) -> None:
        self.validated.append(copied(pl_module))


def copied(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def fitted(
    trainer: Trainer, folder: Path, epochs: int = 2, path: Path | None = None
) -> tuple[L.Trainer, MLP, Digits, Trace]:
    torch.manual_seed(3)
    data = Digits(batch_size=20, train_size=100).prepare()
    model = MLP(data.spec, hidden_sizes=(8,), normalization="batch")
    model.optimizer = partial(torch.optim.SGD, lr=0.1)
    trace, saver = Trace(), ModelCheckpoint(dirpath=folder, filename="{step}", save_top_k=-1, every_n_train_steps=4)
    fitter = trainer(max_epochs=epochs, callbacks=[Resume(), trace, EMA(0.3), saver], enable_checkpointing=True)
    fitter.fit(model, data, ckpt_path=path, weights_only=True)
    return fitter, model, data, trace


def averages(steps: list[dict[str, Tensor]], decay: float) -> list[dict[str, Tensor]]:
    """Returns the averages after each step, computed from the formula."""
    result = [steps[0]]
    for step, values in enumerate(steps[1:], 1):
        current = min(decay, (1 + step) / (10 + step))
        result.append(
            {
                name: current * result[-1][name] + (1 - current) * value if value.is_floating_point() else value
                for name, value in values.items()
            }
        )
    return result


def test_average_matches_the_formula_and_is_validated_saved_and_tested(quiet_trainer: Trainer, tmp_path: Path) -> None:
    trainer, model, data, trace = fitted(quiet_trainer, tmp_path)
    expected = averages(trace.steps, 0.3)
    assert len(trace.steps) == 10
    for epoch in (0, 1):
        torch.testing.assert_close(trace.validated[epoch], expected[5 * epoch + 4])
        assert not torch.equal(trace.validated[epoch]["head.weight"], trace.steps[5 * epoch + 4]["head.weight"])
    torch.testing.assert_close(copied(model), expected[-1])

    path = tmp_path / "step=8.ckpt"
    torch.testing.assert_close(copied(primer.load(path)), expected[7])
    content = torch.load(path, weights_only=True)
    torch.testing.assert_close(content["current_model_state"], trace.steps[7])
    trainer.test(model, data, ckpt_path=path, weights_only=True, verbose=False)
    torch.testing.assert_close(copied(model), expected[7])


def test_resumed_run_equals_uninterrupted_run(quiet_trainer: Trainer, tmp_path: Path) -> None:
    _, whole, _, trace = fitted(quiet_trainer, tmp_path / "whole")
    for step in (4, 8):
        _, resumed, _, later = fitted(
            quiet_trainer, tmp_path / "resumed", path=tmp_path / "whole" / f"step={step}.ckpt"
        )
        assert len(later.steps) == 10 - step
        for name, value in copied(whole).items():
            assert torch.equal(copied(resumed)[name], value), name
            assert torch.equal(later.steps[-1][name], trace.steps[-1][name]), name


def test_run_reports_metrics_of_the_averaged_weights(command: Callable[..., Any], tmp_path: Path) -> None:
    overrides = ["regularization.ema=0.9", "trainer.max_epochs=2", "data.train_size=200", "logger=none"]
    metrics = train(command("train", "run", *overrides))
    model = primer.load(tmp_path / "run")
    data = Digits(train_size=200).prepare()
    test = data.parts["test"]
    batch = next(iter(data.test_dataloader()))
    accuracy = (model.predict_batch(batch) == test.targets).float().mean().item()
    assert metrics["test/accuracy"] == pytest.approx(accuracy)
    content = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert not torch.equal(content["state_dict"]["head.weight"], content["current_model_state"]["head.weight"])


def test_a_chosen_threshold_is_that_of_the_averaged_weights(run_in_process, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = [(value.item(), k % 10 == 0) for k, value in enumerate(torch.randn(600, generator=generator))]
    rows = [f"{value + rare:.3f},{'yes' if rare else 'no'}" for value, rare in numbers]
    (tmp_path / "rare.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    settings = ("data=csv", f"data.path={tmp_path / 'rare.csv'}", "data.target=y", "objective.threshold=auto")
    more = ("regularization.ema=0.9", "trainer.max_epochs=2", "callbacks=[_checkpoint]", "logger=none")
    result = run_in_process("train.py", *settings, *more)
    assert result.status == 0, result.err
    content = torch.load(result.folder / "checkpoints" / "best.ckpt", weights_only=True)
    cutoffs = [content[state]["objective.cutoff"] for state in ("state_dict", "current_model_state")]
    assert cutoffs[0] == cutoffs[1] != MAX_BINS // 2


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_invalid_decay_is_rejected(decay: float) -> None:
    with pytest.raises(ValueError, match=f"must be at least 0 and less than 1, or null, not {decay}"):
        EMA(decay)
