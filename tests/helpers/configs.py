"""Parts of the default configs, composed once."""

from __future__ import annotations

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from primer.cli.composition import compose_checked


@cache
def scheduler_config(name: str) -> dict[str, Any]:
    """Returns the config of ``scheduler=name``. Interpolations are not resolved."""
    return OmegaConf.to_container(compose_checked("train", [f"scheduler={name}"]).scheduler)  # type: ignore[return-value]
