"""What models that train together cannot have is rejected in one line before anything is trained."""

from __future__ import annotations

from typing import Any

import lightning as L
import pytest
from helpers.small_models import Sentences, tagger
from omegaconf import OmegaConf

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.run import stacking
from primer.run.building import Parts
from primer.run.members import Job
from primer.run.monitoring import Goal
from primer.run.together import Training, train_together
from primer.run.training import resolve

QUICK = ("accelerator=cpu", "callbacks=[_checkpoint,_last,_stop_on_nan]")


@pytest.fixture
def reject(command, monkeypatch, tmp_path):
    """Returns a function that tries to train two runs together, and returns the message of the error."""

    def run(*overrides: str, **different: Any) -> str:
        monkeypatch.setattr(Training, "run", lambda self: pytest.fail("it was trained"))
        first = command("train", "first", *QUICK, *overrides)
        second = first.copy()
        second.paths.output_dir = str(tmp_path / "second")
        for path, value in different.items():
            OmegaConf.update(second, path.replace("__", "."), value)
        with pytest.raises(InputError) as raised:
            train_together([Job(resolve(cfg), []) for cfg in (first, second)])
        assert not list(tmp_path.iterdir())
        message = str(raised.value)
        assert message.endswith("; use hydra/launcher=basic")
        assert "\n" not in message
        return message

    return run


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("trainer.accumulate_grad_batches=2",), "trainer.accumulate_grad_batches=2"),
        (("accelerator.precision=bf16-mixed",), "trainer.precision=bf16-mixed"),
        (("trainer.max_steps=10",), "trainer.max_steps=10"),
        (("trainer.max_epochs=-1", "trainer.max_steps=-1"), "trainer.max_epochs=-1"),
        (("accelerator.devices=2",), "accelerator.devices=2"),
        (("regularization.ema=0.9",), "regularization.ema"),
        (("regularization/augmentation=shift",), "regularization/augmentation=shift"),
        (("debug=lr_find",), "probe=lr_find"),
        (("optimizer=lbfgs",), "optimizer=LBFGS: hydra/launcher=vmap supports SGD, Adam,"),
        (("callbacks=[_checkpoint,_gradients]",), "callbacks (Gradients)"),
        (("callbacks=[_checkpoint]", "+callbacks.checkpoint.save_top_k=2"), "callbacks (Checkpoint)"),
        (("regularization.dropout=0.1",), "model=MLP: hydra/launcher=vmap does not support random layers"),
        (("model=lstm", "data=adding_problem"), "model=LSTM: hydra/launcher=vmap needs a model with the default"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsupported_settings(reject, overrides: tuple[str, ...], expected: str) -> None:
    assert reject(*overrides, seed=1).startswith(expected)


@pytest.mark.parametrize(
    ("path", "value"),
    [("data__batch_size", 32), ("model__hidden_sizes", [4]), ("trainer__max_epochs", 3), ("optimizer__amsgrad", True),
     ("optimizer___target_", "torch.optim.AdamW"), ("monitor", "val/accuracy"), ("objective__label_smoothing", 0.1)],
)  # fmt: skip
def test_different_settings(reject, path: str, value: Any) -> None:
    setting = path.replace("__", ".", 1)
    assert reject("+optimizer.amsgrad=false", **{path: value}).startswith(f"{setting}: hydra/launcher=vmap trains")


def test_models_with_their_own_training_step(reject, monkeypatch) -> None:
    monkeypatch.setattr(MLP, "training_step", lambda self, batch, batch_idx: self.step(batch).loss)
    assert "this one overrides training_step" in reject(seed=1)


def test_padded_samples() -> None:
    data = Sentences().prepare()
    parts = Parts(data, tagger(data), [], Goal(None, None, False), None, None)
    with pytest.raises(InputError, match="data=Sentences: hydra/launcher=vmap needs samples of one shape"):
        stacking.check_parts(parts)


def test_data_that_depends_on_the_seed(reject, monkeypatch) -> None:
    read = Digits.read
    monkeypatch.setattr(Digits, "read", lambda self: (L.seed_everything(5, verbose=False), read(self))[1])
    assert "this depends on the seed of the run" in reject(seed=1)


def test_every_setting_of_the_trainer_is_known(command) -> None:
    """A new one has to be supported or rejected."""
    trainer = resolve(command("train", "unused"))["trainer"]
    assert set(trainer) == {*stacking.FIXED, *stacking.FREE}
