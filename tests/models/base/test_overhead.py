"""The private names of Lightning that ``primer.models.base.overhead`` relies on."""

from __future__ import annotations

import inspect
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loops.optimization.manual import _ManualOptimization
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.trainer import call
from lightning.pytorch.trainer.connectors.logger_connector import result
from lightning.pytorch.utilities import signature_utils
from torch import nn

from primer.config.paths import ROOT
from primer.models.base import overhead, trainer_internals
from primer.models.feedforward.mlp import MLP


def test_lightning_still_uses_the_names_that_are_replaced() -> None:
    source = inspect.getsource(L.LightningModule)
    assert "_current_fx_name" in inspect.getsource(L.pytorch.trainer.call)
    assert "self._call_batch_hook(" in source
    assert "def _call_batch_hook(self, hook_name: str, *args: Any)" in source
    for hook in overhead.BATCH_HOOKS:
        assert f'"{hook}"' in source
    assert "inspect.getfullargspec(" in inspect.getsource(signature_utils)
    assert "PYTORCH_NVML_BASED_CUDA_CHECK" in inspect.getsource(L.fabric)
    assert callable(PassThroughProfiler.profile)
    assert isinstance(inspect.getattr_static(ModelCheckpoint, "state_key"), property)


def test_only_hooks_that_do_nothing_are_removed() -> None:
    class Counting(L.Callback):
        def __init__(self) -> None:
            self.batches = self.steps = 0
            self.on_before_backward = self.count  # type: ignore[assignment, method-assign]

        def count(self, *args: object) -> None:
            self.steps += 1

        def on_train_batch_end(self, *args: object) -> None:
            self.batches += 1

    callback = Counting()
    trainer = L.Trainer(
        callbacks=[callback], accelerator="cpu", max_epochs=1, limit_train_batches=3, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    overhead.remove_empty_hooks(trainer)
    assert callback.on_after_backward is None
    trainer.fit(BoringModel())
    assert (callback.batches, callback.steps) == (3, 3)


def test_every_removed_hook_is_a_hook_of_callbacks() -> None:
    assert "if callable(fn):" in inspect.getsource(call._call_callback_hooks)
    for hook in overhead.CALLBACK_HOOKS:
        assert inspect.isfunction(getattr(L.Callback, hook))


def test_optimizer_steps_are_counted_by_the_hooks_that_are_replaced() -> None:
    source = inspect.getsource(LightningOptimizer)
    assert "self._on_before_step = do_nothing_closure" in source
    assert "self._on_after_step = do_nothing_closure" in source
    assert "optim_step_progress.increment_ready()" in inspect.getsource(_ManualOptimization._on_before_step)
    assert do_nothing_closure() is None


def test_lightning_still_stores_logged_sums_under_the_same_names() -> None:
    assert "self._results = _ResultCollection(training=True)" in inspect.getsource(_TrainingEpochLoop)
    source = inspect.getsource(result._ResultMetric)
    for name in ("self.is_tensor", "self.value = self.value + value * batch_size", "self.cumulated_batch_size"):
        assert name in source
    assert {"on_epoch", "is_mean_reduction"} <= set(dir(result._Metadata("fx", "name")))


def test_the_signature_of_training_step_is_cached() -> None:
    assert MLP.training_step.__signature__ == inspect.signature(MLP.training_step)  # type: ignore[attr-defined]


def test_plain_attributes_are_never_modules_or_parameters() -> None:
    for name in overhead.PLAIN_ATTRIBUTES:
        assert not isinstance(getattr(MLP, name, None), nn.Module | nn.Parameter)


def test_no_other_file_uses_private_names_of_the_trainer() -> None:
    """Names such as ``trainer._results`` occur only in that file."""
    for file in (ROOT / "src" / "primer").rglob("*.py"):
        if file not in (Path(overhead.__file__), Path(trainer_internals.__file__)):
            text = file.read_text(encoding="utf-8")
            assert "._results" not in text, file
            assert "_on_before_step" not in text, file
            assert "def _call_batch_hook" not in text, file
