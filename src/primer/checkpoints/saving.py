"""Saves checkpoints of the best epoch and of the latest state."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from primer.callbacks.finite import describe_weights, diverged
from primer.checkpoints.archive import add_checksum
from primer.models.base.overhead import CachedStateKey
from primer.records.console import say
from primer.records.run_folder import remove


class Checkpoint(CachedStateKey):
    """Lightning's ``ModelCheckpoint``, with three differences.

    - A resumed run inherits the best checkpoint of the interrupted run and its score, so that the best checkpoint is
      that of the whole run. Lightning forgets both if the run folder changes.
    - Files are written next to their destination and then renamed, so that a killed run leaves the previous checkpoint
      intact. Lightning writes to the temporary folder, which may be on another disk.
    - Weights that are not finite are never saved.

    Raises:
        RunError: when saving, if a weight is not finite.
    """

    _inherited: Sequence[tuple[Path, Path]] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self._every_n_train_steps and self._train_time_interval is None:
            self.on_train_batch_end = None  # type: ignore[assignment, method-assign]  # Lightning skips the call.

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("callbacks", {}).pop(self.state_key, None)
        if trainer.state.fn != "fit" or state is None:  # When testing, keep the state that fit left behind.
            return
        resumed, sources = Path(str(trainer.ckpt_path)), {}
        for path, score in state["best_k_models"].items():
            candidates = [resumed.parent / Path(path).name, Path(path)]
            sources[path] = next((file for file in candidates if self._has_score(file, score)), None)
            if sources[path] is None:
                say(f"resume: {candidates[0]} with {self.monitor}={score:.6g} no longer exists; "
                    "the best checkpoint is chosen from the remaining epochs")  # fmt: skip
                return
        if not sources:
            return
        renamed = {"": ""} | {path: str(Path(str(self.dirpath)) / Path(path).name) for path in sources}
        self._inherited = [(file, Path(renamed[path])) for path, file in sources.items() if file is not None]
        checkpoint["callbacks"][self.state_key] = state | {
            "dirpath": self.dirpath,
            "best_k_models": {renamed[path]: score for path, score in state["best_k_models"].items()},
            "best_model_path": renamed[state["best_model_path"]],
            "kth_best_model_path": renamed[state["kth_best_model_path"]],
            "last_model_path": "",
        }

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        inherited, self._inherited = self._inherited, []
        # Copied no earlier than here, so that a rejected run leaves nothing behind.
        for source, destination in inherited if trainer.is_global_zero else ():
            copy_atomically(source, destination)

    def _has_score(self, file: Path, score: torch.Tensor) -> bool:
        """Returns whether a file is the checkpoint saved with a score, and not a later one of the same name."""
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return torch.equal(content["callbacks"][self.state_key]["current_score"], score)
        except Exception:  # Missing, truncated or another kind of file: each raises a different exception.
            return False

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        if reason := describe_weights(trainer):
            raise diverged(trainer, reason)
        temporary = os.path.join(os.path.dirname(filepath), f".{os.path.basename(filepath)}")
        try:
            super()._save_checkpoint(trainer, temporary)
            if trainer.is_global_zero:
                if os.path.isfile(temporary):  # Several processes may write a folder.
                    add_checksum(Path(temporary))
                os.replace(temporary, filepath)
        except BaseException as error:  # Such as a full disk, or another process that was killed.
            if trainer.is_global_zero:
                remove(Path(temporary))  # The previous checkpoint is intact.
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, filepath) from error
            raise
        trainer.strategy.barrier()
        self._last_checkpoint_saved = filepath


def copy_atomically(source: Path, destination: Path) -> None:
    """Copies a file so that the destination is either complete or unchanged."""
    if destination.exists() and destination.samefile(source):
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    temporary = destination.with_name(f".{destination.name}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(destination)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
