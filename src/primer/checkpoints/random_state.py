"""Saves and restores the states of all random number generators, as tensors and plain values."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from primer.config.types import check_type
from primer.errors import InputError


def random_state() -> dict[str, Any]:
    """Returns the states of the generators of PyTorch, of each GPU, of Python and of NumPy."""
    version, keys, gauss = random.getstate()
    name, mt, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(keys), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(mt, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
    }


def check_random_state(state: dict[str, Any]) -> None:
    """Restores a state in generators that nothing uses.

    Raises:
        InputError: if that fails.
    """
    try:
        torch.Generator().set_state(state["torch"].cpu())
        random.Random().setstate(_python_state(state))
        np.random.RandomState().set_state(_numpy_state(state))
        check_type("the position", state["numpy"][2], int)
        if not 0 <= state["numpy"][2] <= len(state["numpy"][1]):  # NumPy would read beyond the state.
            raise InputError("the position is not within it")
    except Exception as error:  # Each generator raises a different exception.
        raise InputError(f"the state of a random number generator is invalid: {error}") from error


def restore_random_state(state: dict[str, Any]) -> None:
    """Restores all generators to a state returned by ``random_state``."""
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device_state.cpu() for device_state in state["cuda"]])
    random.setstate(_python_state(state))
    np.random.set_state(_numpy_state(state))


def _python_state(state: dict[str, Any]) -> tuple[Any, ...]:
    version, keys, gauss = state["python"]
    return version, tuple(keys), gauss


def _numpy_state(state: dict[str, Any]) -> tuple[Any, ...]:
    name, mt, *rest = state["numpy"]
    return name, mt.cpu().numpy().astype(np.uint32), *rest
