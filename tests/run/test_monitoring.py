"""What decides on the best checkpoint, early stopping and a plateau."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import OmegaConf

from primer.cli.composition import compose_checked
from primer.config.instantiate import instantiate
from primer.data.images.digits import Digits
from primer.data.text.bio import BIO
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.models.recurrent.lstm import LSTM
from primer.regularization import Regularization
from primer.run.monitoring import check_monitors
from primer.run.training import build_callbacks, build_model, train
from primer.spec import Classes, Spec, Tags, Tokens, Vector


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
    composition = compose_checked("train", [*chosen, *overrides])
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


TAGGER = LSTM(Spec(Tokens(("<pad>", "<unk>", "Bo")), Tags(("O", "B-PER", "I-PER"))))
CLASSIFIER = Linear(Spec(Vector(2), Classes(("no", "yes"))))


@pytest.mark.parametrize(
    ("model", "name", "measured"),
    [
        (TAGGER, "val/entity_f1", True),
        (TAGGER, "val/entities", False),
        (TAGGER, "val/confusion", False),
        (CLASSIFIER, "val/f1", True),
        (CLASSIFIER, "val/confusion", False),
        (CLASSIFIER, "val/entity_f1", False),
        (CLASSIFIER, "train/loss", True),
    ],
)
def test_only_what_is_measured_can_be_watched(model: Any, name: str, measured: bool) -> None:
    config = {"monitor": name, "scheduler": {}, "callbacks": {}}
    data = Digits().prepare()
    if measured:
        return check_monitors(config, model, data)
    with pytest.raises(InputError, match=f"monitor={name}: this run measures no such thing; "):
        check_monitors(config, model, data)


def test_the_entities_of_a_run_are_watched(tmp_path: Path, command: Any) -> None:
    (tmp_path / "words.txt").write_text("Ann B-PER\nmet O\nBo B-PER\n\nThe O\nRed B-ORG\nCross I-ORG\n\n" * 10)
    overrides = [f"data.train={tmp_path}/words.txt", "monitor=val/entity_f1", "mode=max", "trainer.max_epochs=2"]
    metrics = train(command("train", "run", "model=lstm", "data=bio", "accelerator=cpu", *overrides))
    best = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    assert any(state.get("monitor") == "val/entity_f1" for state in best.values())
    assert 0 <= metrics["val/entity_f1"] <= 1


@pytest.mark.parametrize("characters", [False, True])
def test_the_accuracy_on_unknown_words_is_watched_where_there_are_some(characters: bool, tmp_path: Path) -> None:
    known = "Ann B-PER\nmet O\nBo B-PER\n\n" * 20
    (tmp_path / "train.txt").write_text(known)
    config = {"monitor": "val/accuracy_unknown", "scheduler": {}, "callbacks": {}}
    for validation, fine in ((known, False), (known + "Cy B-PER\nmet O\nAnn B-PER\n\n", True)):
        (tmp_path / "val.txt").write_text(validation)
        data = BIO(train="train.txt", dev="val.txt", data_dir=tmp_path, characters=characters).prepare()
        if fine:
            check_monitors(config, LSTM(data.spec), data)
        else:
            with pytest.raises(InputError, match="the validation part has no word that training does not have"):
                check_monitors(config, LSTM(data.spec), data)
