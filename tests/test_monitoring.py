"""What decides on the best checkpoint, early stopping and a plateau where nothing is validated."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import OmegaConf

from primer.checks import composed
from primer.config import instantiate
from primer.data.digits import Digits
from primer.regularization import Regularization
from primer.training import build_callbacks, build_model


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ([], ("val/accuracy", "max")),
        (["data.val_fraction=0"], ("train/loss", "min")),
        (["trainer.limit_val_batches=0"], ("train/loss", "min")),
        (["data.val_fraction=0", "monitor=train/loss", "mode=min"], ("train/loss", "min")),
    ],
)
def test_the_training_loss_stands_in_and_less_of_it_is_better(overrides: list[str], wanted: tuple[str, str]) -> None:
    fixed = ["monitor=val/accuracy", "mode=max", "scheduler=plateau", "regularization=light", "paths.output_dir=x"]
    chosen = [text for text in fixed if text.split("=")[0] not in {other.split("=")[0] for other in overrides}]
    composition = composed("train", [*chosen, *overrides])
    OmegaConf.set_struct(composition, False)
    del composition["hydra"]
    config: dict[str, Any] = OmegaConf.to_container(composition, resolve=True)  # type: ignore[assignment]
    data = Digits(val_fraction=config["data"]["val_fraction"]).prepare()
    regularization = instantiate(config["regularization"], Regularization)

    callbacks = build_callbacks(config, data, regularization)
    saver = next(one for one in callbacks if isinstance(one, ModelCheckpoint))
    stopper = next(one for one in callbacks if isinstance(one, EarlyStopping))
    schedule = build_model(config, data, regularization).schedule
    assert (saver.monitor, saver.mode) == wanted
    assert (stopper.monitor, stopper.mode) == wanted
    assert (schedule.monitor, schedule.scheduler.keywords["mode"]) == wanted  # type: ignore[union-attr]
