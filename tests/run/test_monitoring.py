"""Metrics that select the best checkpoint, stop training early and lower the learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.config import paths
from primer.config.instantiate import instantiate
from primer.data.images.digits import Digits
from primer.data.text.bio import BIO
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.models.recurrent.lstm import LSTM
from primer.models.reinforcement.q_learning import QLearning
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_model
from primer.run.monitoring import check_monitors
from primer.run.training import train
from primer.spec import Classes, FiniteEnvironment, NoTarget, Spec, Tags, Tokens, Vector

OVERRIDES = ["monitor=val/accuracy", "scheduler=plateau", "regularization=light", "paths.output_dir=x"]


def config_of(*overrides: str) -> dict[str, Any]:
    composition = compose_checked("train", list(overrides))
    OmegaConf.set_struct(composition, False)
    del composition["hydra"]
    return OmegaConf.to_container(composition, resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (OVERRIDES, ("val/accuracy", "max")),
        ([*OVERRIDES, "mode=max"], ("val/accuracy", "max")),
        (OVERRIDES[1:], ("val/loss", "min")),
        ([*OVERRIDES, "data.val_fraction=0"], ("train/loss", "min")),
        ([*OVERRIDES, "mode=max", "data.val_fraction=0"], ("train/loss", "min")),
        ([*OVERRIDES, "trainer.limit_val_batches=0"], ("train/loss", "min")),
        (["monitor=train/loss", *OVERRIDES[1:], "data.val_fraction=0"], ("train/loss", "min")),
    ],
)
def test_checkpoint_early_stopping_and_schedule_monitor_the_same_metric(
    overrides: list[str], expected: tuple[str, str]
) -> None:
    """Without validation, the training loss replaces the metric, and lower is better."""
    config = config_of(*overrides)
    data = Digits(val_fraction=config["data"]["val_fraction"]).prepare()
    regularization = instantiate(config["regularization"], Regularization)

    model = build_model(config, data, regularization)
    callbacks = build_callbacks(config, model, data, regularization)
    checkpoint = next(item for item in callbacks if isinstance(item, ModelCheckpoint) and item.monitor)
    early_stopping = next(item for item in callbacks if isinstance(item, EarlyStopping))
    assert (checkpoint.monitor, checkpoint.mode) == expected
    assert (early_stopping.monitor, early_stopping.mode) == expected
    assert (model.schedule.monitor, model.schedule.scheduler.keywords["mode"]) == expected  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["monitor=val/accuracy", "mode=min"], "mode=min contradicts monitor=val/accuracy, for which higher is better"),
        (["monitor=val/loss", "mode=max"], "mode=max contradicts monitor=val/loss, for which lower is better"),
        (["mode=max"], "mode=max contradicts monitor=val/loss"),
        (
            ["scheduler=plateau", "scheduler.mode=max"],
            "scheduler.mode=max contradicts scheduler.monitor=val/loss, for which lower is better",
        ),
        (
            ["callbacks.checkpoint.monitor=val/f1", "callbacks.checkpoint.mode=min"],
            "callbacks.checkpoint.mode=min contradicts callbacks.checkpoint.monitor=val/f1",
        ),
    ],
)
def test_a_mode_that_contradicts_the_metric_is_rejected(overrides: list[str], message: str) -> None:
    config, data = config_of(*overrides, "paths.output_dir=x"), Digits().prepare()
    with pytest.raises(InputError, match=f"^{message}"):
        build_callbacks(config, build_model(config, data, Regularization()), data, Regularization())


AGENT = QLearning(Spec(FiniteEnvironment(4, 2), NoTarget()))
TAGGER = LSTM(Spec(Tokens(("<pad>", "<unk>", "Bo")), Tags(("O", "B-PER", "I-PER"))))
CLASSIFIER = Linear(Spec(Vector(2), Classes(("no", "yes"))))


def watching(name: str, *callbacks: str) -> dict[str, Any]:
    nodes = {target: {"_target_": target} for target in callbacks}
    return {"monitor": name, "scheduler": {}, "callbacks": nodes, "trainer": {"limit_val_batches": None}}


@pytest.mark.parametrize(
    ("model", "name", "logged"),
    [
        (TAGGER, "val/entity_f1", True),
        (TAGGER, "val/entities", False),
        (TAGGER, "val/confusion", False),
        (CLASSIFIER, "val/f1", True),
        (CLASSIFIER, "val/confusion", False),
        (CLASSIFIER, "val/entity_f1", False),
        (CLASSIFIER, "train/loss", True),
        (AGENT, "val/return", True),
        (AGENT, "val/loss", False),
    ],
)
def test_only_logged_metrics_can_be_monitored(model: Any, name: str, logged: bool) -> None:
    data = Digits().prepare()
    if logged:
        return check_monitors(watching(name), model, data)
    with pytest.raises(InputError, match=f"monitor={name}: this run does not log that metric; "):
        check_monitors(watching(name), model, data)


def test_a_metric_of_a_callback_can_be_monitored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "packages", lambda: (*paths.PACKAGES, "models"))
    config, data = watching("val/probe", "models.kinds.probe.Probe"), Digits().prepare()
    check_monitors(config, CLASSIFIER, data)
    monkeypatch.setattr("models.kinds.probe.Probe.logged_metrics", ("val/other",), raising=False)
    with pytest.raises(InputError, match="does not log that metric"):
        check_monitors(config, CLASSIFIER, data)


def test_entity_f1_can_be_monitored(tmp_path: Path, command: Any) -> None:
    (tmp_path / "words.txt").write_text("Ann B-PER\nmet O\nBo B-PER\n\nThe O\nRed B-ORG\nCross I-ORG\n\n" * 10)
    overrides = [f"data.train={tmp_path}/words.txt", "monitor=val/entity_f1", "trainer.max_epochs=2"]
    metrics = train(command("train", "run", "model=lstm", "data=bio", "accelerator=cpu", *overrides))
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    assert any(state.get("monitor") == "val/entity_f1" for state in best.values())
    assert 0 <= metrics["val/entity_f1"] <= 1


@pytest.mark.parametrize("characters", [False, True])
def test_accuracy_on_unknown_words_requires_unknown_words(characters: bool, tmp_path: Path) -> None:
    known = "Ann B-PER\nmet O\nBo B-PER\n\n" * 20
    (tmp_path / "train.txt").write_text(known)
    config = watching("val/accuracy_unknown")
    for validation, has_unknown in ((known, False), (known + "Cy B-PER\nmet O\nAnn B-PER\n\n", True)):
        (tmp_path / "val.txt").write_text(validation)
        data = BIO(train="train.txt", dev="val.txt", data_dir=tmp_path, characters=characters).prepare()
        if has_unknown:
            check_monitors(config, LSTM(data.spec), data)
        else:
            with pytest.raises(InputError, match="every word of the validation part occurs in the training part"):
                check_monitors(config, LSTM(data.spec), data)
