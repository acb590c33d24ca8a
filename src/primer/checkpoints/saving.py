"""Checkpoints of the best and the last epoch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from primer.models.base.overhead import CachedStateKey
from primer.records.console import say


class Checkpoint(CachedStateKey):
    """Lightning's ``ModelCheckpoint``, with two differences.

    - A resumed run takes the best checkpoint from before the break along, and its score, so that the best one is that
      of the whole run. Lightning forgets both where the folder is another.
    - A file is written beside its place and then renamed, so that a killed run leaves the one before it whole.
      Lightning writes into the folder for temporary files, which may be of another disk.
    """

    _inherited: Sequence[tuple[Path, Path]] = ()

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("callbacks", {}).pop(self.state_key, None)
        if trainer.state.fn != "fit" or state is None:  # In a test, what the fit has left is what counts.
            return
        resumed, found = Path(str(trainer.ckpt_path)), {}
        for path, score in state["best_k_models"].items():
            places = [resumed.parent / Path(path).name, Path(path)]
            found[path] = next((file for file in places if self._scored(file, score)), None)
            if found[path] is None:
                say(f"resume: {places[0]} with {self.monitor}={score:.6g} is gone; the best is what comes from now on")
                return
        if not found:
            return
        renamed = {"": ""} | {path: str(Path(str(self.dirpath)) / Path(path).name) for path in found}
        self._inherited = [(file, Path(renamed[path])) for path, file in found.items() if file is not None]
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
        for file, place in inherited if trainer.is_global_zero else ():  # Not before: a refused run leaves nothing.
            copy(file, place)

    def _scored(self, file: Path, score: torch.Tensor) -> bool:
        """Whether a file is the checkpoint that was saved with a score: there may be a later one of the same name."""
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            return torch.equal(content["callbacks"][self.state_key]["current_score"], score)
        except Exception:  # Gone, torn, or of another kind: each has an error of its own.
            return False

    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        temporary = os.path.join(os.path.dirname(filepath), f".{os.path.basename(filepath)}")
        super()._save_checkpoint(trainer, temporary)
        if trainer.is_global_zero:
            os.replace(temporary, filepath)
        trainer.strategy.barrier()
        self._last_checkpoint_saved = filepath


def copy(file: Path, place: Path) -> None:
    """Copies a file, whole or not at all."""
    if place.exists() and place.samefile(file):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}")
    shutil.copyfile(file, temporary)
    temporary.replace(place)
