"""Names of other tools, misplaced and misspelled names lead to the right key."""

from __future__ import annotations

import pytest
from helpers.errors import refusal

from primer.cli.choices import groups
from primer.cli.composition import compose_checked
from primer.cli.habits import CHOICES, KEYS
from primer.cli.suggestions import explain_missing_key
from primer.errors import closest

TYPED = [
    ("epochs=5", "trainer.max_epochs=5"),
    ("max_epochs=5", "trainer.max_epochs=5"),
    ("trainer.epochs=5", "max_epochs"),
    ("lr=0.1", "optimizer.lr=0.1"),
    ("learning_rate=0.1", "optimizer.lr=0.1"),
    ("model.lr=0.1", "optimizer.lr=0.1"),
    ("+lr=0.1", "optimizer.lr=0.1"),
    ("batch_size=32", "data.batch_size=32"),
    ("batchsize=32", "data.batch_size=32"),
    ("dropout=0.2", "regularization.dropout=0.2"),
    ("loss=mse", "objective=mse"),
    ("loss=l1", "objective=mae"),
    ("early_stopping=true", "regularization.early_stopping.patience=5"),
    ("patience=3", "regularization.early_stopping.patience=3"),
    ("augmentation=flip", "regularization/augmentation=flip"),
    ("augmentation=[flip,cutot]", "regularization/augmentation=[flip,cutout]"),
    ("weight_decay=1e-4", "regularization.l2=1e-4"),
    ("optimizer.weight_decay=1e-4", "regularization.l2=1e-4"),
    ("optimizer.momentum=0.9", "optimizer=momentum optimizer.momentum=0.9"),
    ("gpus=2", "accelerator=gpu accelerator.devices=2"),
    ("device=cuda", "accelerator=gpu"),
    ("device=cpu", "accelerator=cpu"),
    ("num_workers=4", "data.workers=4 (for data=image_folder; other data needs none)"),
    ("checkpoint=x", "weights=x or resume=x"),
    ("ckpt_path=x", "weights=x or resume=x"),
    ("wandb=true", "logger=wandb"),
    ("seeds=3", "seed=3"),
    ("hidden_sizes=[3]", "model.hidden_sizes=[3]"),
    ("hidden_size=3", "model.hidden_sizes=3"),
    ("modle=mlp", "model"),
    ("model=MLP", "mlp"),
    ("model=cnn", "lenet"),
    ("optimizer=cosine", "scheduler=cosine"),
    ("trainer=gpu", "accelerator=gpu"),
    ("trainer=cuda", "accelerator=gpu"),
    ("callbacks=early_stopping", "regularization.early_stopping.patience=5"),
    ("regularization=dropout", "regularization.dropout=…"),
    ("scheduler=CosineAnnealingLR", "cosine"),
    ("debug=true", "fast"),
]


@pytest.mark.parametrize(("typed", "meant"), TYPED, ids=[typed for typed, _ in TYPED])
def test_a_habit_of_another_tool_names_the_key(typed: str, meant: str) -> None:
    assert f"did you mean {meant}?" in refusal(typed)


def test_an_unknown_logger_lists_all_loggers() -> None:
    assert (
        refusal("logger=comet")
        == "logger=comet: there is no such logger; valid: csv, many, mlflow, none, tensorboard, wandb"
    )


def test_a_group_that_is_meant_without_a_valid_choice_lists_the_choices() -> None:
    assert "regularization/augmentation=… (one of background_noise, color_jitter, " in refusal("augmentation=true")


def test_evaluation_names_its_own_keys() -> None:
    assert "did you mean ckpt=x?" in refusal("checkpoint=x", name="evaluate")
    assert "did you mean run=x or ckpt=x?" in refusal("resume=x", name="evaluate")
    assert "trainer" not in refusal("epochs=3", name="evaluate").split("valid:")[0]


def test_a_name_like_no_other_is_not_guessed() -> None:
    assert "did you mean" not in refusal("foo=1")
    assert "did you mean" not in refusal("T_max=3")


def test_what_is_suggested_exists() -> None:
    configs = [compose_checked("train", ["logger=wandb", "data=image_folder", "optimizer=momentum"])]
    configs.append(compose_checked("evaluate", []))
    for text in KEYS:
        for override in text.split(" (")[0].split():
            key, _, value = override.partition("=")
            if key in groups():
                assert value in ("", "{value}", *groups()[key])
            else:
                assert any(explain_missing_key(config, key) is None for config in configs), key
    for group, choices in CHOICES.items():
        assert choices.keys() <= set(groups()[group])


def test_no_name_is_a_key_itself() -> None:
    train = compose_checked("train", [])
    names = {
        name for text, names in KEYS.items() for name in names.split() if text.split(".")[0] not in ("run", "ckpt")
    }
    assert [name for name in names if name in train] == []


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (("--epochs", "5"), "trainer.max_epochs=5"),
        (("--lr=0.1",), "optimizer.lr=0.1"),
        (("--model", "LSTM"), "model=lstm"),
        (("--batch-size=8",), "data.batch_size=8"),
        (("--seed", "1"), "seed=1"),
    ],
)
def test_settings_with_dashes(run_in_process, arguments: tuple[str, ...], written: str) -> None:
    result = run_in_process("train.py", *arguments, logs=False)
    option = arguments[0]
    assert result.status == 2
    assert result.out == ""
    assert result.err == f"error: {option}: settings are written without dashes, as key=value: {written}\n"


def test_the_closest_name() -> None:
    assert closest("modle", ["mode", "model"]) == "model"
    assert closest("MLP", ["mlp", "mlp_mixer"]) == "mlp"
    assert closest("batchsize", ["batch_size", "eval_batch_size"]) == "batch_size"
    assert closest("epochs", ["paths"]) is None
    assert closest("lr", ["logger"]) is None
