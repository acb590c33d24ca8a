"""The first line of a command, printed before torch is imported, which takes seconds."""

from __future__ import annotations

import os
from typing import Any

from omegaconf import DictConfig


def announce(config: DictConfig) -> None:
    """Prints what a job is about to do, in the main process only; in a sweep, its number and its overrides."""
    if any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        return
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra: Any = HydraConfig.get() if HydraConfig.initialized() else None
    if hydra is not None and hydra.mode is RunMode.MULTIRUN:
        print(f"\njob {hydra.job.num}: {' '.join(hydra.overrides.task)}", flush=True)
    elif config.get("run") or config.get("ckpt"):
        print(f"evaluating {config.get('run') or config.get('ckpt')}", flush=True)
    elif config.get("resume"):
        print(f"resuming {config.resume}", flush=True)
    elif hydra is not None and "model" in config:
        choices = hydra.runtime.choices
        doing = f"{config.probe}:" if config.get("probe") else "training"
        print(f"{doing} {choices.get('model')} on {choices.get('data')}", flush=True)
