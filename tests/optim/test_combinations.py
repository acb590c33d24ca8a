"""Every optimizer works with every schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from helpers.configs import scheduler_config
from omegaconf import OmegaConf
from torch.optim import Optimizer

from primer.cli.choices import groups
from primer.cli.composition import compose_checked
from primer.config.instantiate import instantiate, instantiate_partial
from primer.data.images.digits import Digits
from primer.models.feedforward.mlp import MLP
from primer.run.building import build_schedule


@pytest.fixture(scope="module")
def data() -> Digits:
    return Digits(train_size=64, batch_size=32, eval_batch_size=512).prepare()


@pytest.mark.parametrize("optimizer", groups()["optimizer"])
def test_optimizer_trains_with_every_schedule(
    optimizer: str, data: Digits, quiet_trainer: Callable[..., L.Trainer]
) -> None:
    """Trains for two epochs of one step each, so that both step and epoch schedules advance."""
    config = compose_checked("train", [f"optimizer={optimizer}", "regularization.l1=1e-5", "regularization.l2=1e-4"])
    OmegaConf.set_struct(config, False)
    for schedule in groups()["scheduler"]:
        config.scheduler = scheduler_config(schedule)
        settings: dict[str, Any] = {
            key: OmegaConf.to_container(config[key], resolve=True) for key in ("model", "optimizer", "scheduler")
        }
        torch.manual_seed(0)
        model = instantiate(settings["model"], MLP, spec=data.spec)
        model.optimizer = instantiate_partial(settings["optimizer"], Optimizer)
        model.schedule = build_schedule(settings["scheduler"])
        model.l1, model.l2 = config.regularization.l1, config.regularization.l2
        before = model.head.weight.detach().clone()
        trainer = quiet_trainer(max_epochs=2, limit_train_batches=1)
        trainer.fit(model, data)
        assert trainer.global_step == 2, schedule
        assert not torch.equal(model.head.weight, before), schedule
        assert trainer.callback_metrics["train/loss"].isfinite(), schedule
        assert trainer.callback_metrics["val/loss"].isfinite(), schedule
