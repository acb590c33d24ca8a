"""A run that has diverged ends with a message that says where."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD

from primer.callbacks import finite
from primer.callbacks.finite import StopOnNaN, all_finite
from primer.checkpoints.last_checkpoint import LastCheckpoint
from primer.data.images.digits import Digits
from primer.errors import RunError
from primer.models.base import Step
from primer.models.feedforward.mlp import MLP

Make = Callable[..., L.Trainer]


class Overflow(nn.Module):
    """Passes its inputs on, and multiplies one batch by infinity."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch, self.seen = batch, 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen += self.training and torch.is_grad_enabled()
        return inputs * (float("inf") if self.seen >= self.batch and self.training else 1)


def build(layer: nn.Module | None = None, optimizer: Any = None, kind: type[MLP] = MLP) -> tuple[MLP, Digits]:
    torch.manual_seed(0)
    data = Digits(train_size=100, batch_size=20).prepare()
    model = kind(data.spec, hidden_sizes=(16,))
    model.optimizer = optimizer or partial(SGD, lr=0.01)
    if layer is not None:
        model.hidden.append(layer)
    return model, data


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("batch", [1, 8])
def test_it_names_the_step_the_batch_the_layer_and_the_checkpoint(
    batch: int, windowed: bool, quiet_trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if windowed:  # As on a GPU.
        monkeypatch.setattr(StopOnNaN, "on_train_start", lambda *args: None)
    monkeypatch.setattr(finite, "WINDOW", 3)
    model, data = build(Overflow(batch))
    name = f"hidden.{len(model.hidden) - 1}"
    callbacks = [StopOnNaN(), LastCheckpoint(tmp_path)]
    trainer = quiet_trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    with pytest.raises(RunError) as error:
        trainer.fit(model, data)
    message = str(error.value)
    place = "step 1 (epoch 1, batch 1)" if batch == 1 else "step 8 (epoch 2, batch 3)"
    assert re.match(rf"diverged in {re.escape(place)}: the loss is (nan|inf)", message), message
    if not windowed:
        assert f"the first layer whose output is not finite is {name};" in message
        assert all_finite(model.state_dict())
    assert message.endswith("last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == (0 if batch == 1 else 5)
    assert all_finite(saved["state_dict"])


def test_it_names_a_weight_that_is_not_finite(quiet_trainer: Make) -> None:
    model, data = build(optimizer=partial(SGD, lr=float("inf")))
    with pytest.raises(RunError, match=r"first layer whose output is not finite is hidden\.\d, as is its weight; try"):
        quiet_trainer(max_epochs=3, callbacks=[StopOnNaN()]).fit(model, data)


class InfiniteLoss(MLP):
    def step(self, batch: Any) -> Step:
        step = super().step(batch)
        return step._replace(loss=step.loss / 0) if self.fails() else step

    def fails(self) -> bool:
        return self.trainer.global_step == 3


class InfiniteValidation(InfiniteLoss):
    def fails(self) -> bool:
        return not self.training and self.trainer.current_epoch == 1


def test_a_loss_and_a_validation_that_are_not_finite(quiet_trainer: Make) -> None:
    for kind, expected in (
        (InfiniteLoss, r"step 4 \(epoch 1, batch 4\): the loss is inf; try .* no checkpoint was saved before$"),
        (InfiniteValidation, r"step 10 \(epoch 2\): val/loss is inf; try"),
    ):
        model, data = build(kind=kind)
        with pytest.raises(RunError, match=expected):
            quiet_trainer(max_epochs=3, callbacks=[StopOnNaN()]).fit(model, data)


@pytest.mark.parametrize("optimizer", [partial(SGD, lr=0.01), partial(LBFGS, line_search_fn="strong_wolfe")])
def test_a_finite_run_is_not_disturbed(optimizer: Any, quiet_trainer: Make) -> None:
    model, data = build(optimizer=optimizer)
    trainer = quiet_trainer(max_epochs=2, callbacks=[StopOnNaN()])
    trainer.fit(model, data)
    assert trainer.current_epoch == 2
    assert trainer.callback_metrics["train/loss"].isfinite()
