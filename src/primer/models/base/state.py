"""What of a model and of the run around it goes into a checkpoint, as tensors and plain values."""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def arguments(model: object, leave_out: tuple[str, ...]) -> dict[str, Any]:
    """What the outermost constructor of a model was called with, while it runs. Lightning's own search stops at the
    first decorated constructor, and adds the arguments of the bases' constructors, which the outermost may not take."""
    found: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "__init__" and frame.f_locals.get("self") is model:
            names, _, keywords, values = inspect.getargvalues(frame)
            found = {name: values[name] for name in names[1:]} | values.get(keywords or "", {})
        frame = frame.f_back
    return {name: value for name, value in found.items() if name not in leave_out}


def plain(value: Any) -> Any:
    """Dictionaries, lists, strings, numbers and None alone, so that a checkpoint needs no code to load."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def random_state() -> dict[str, Any]:
    """The states of all generators of random numbers, as tensors and plain values."""
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


def restore_random_state(state: dict[str, Any]) -> None:
    """Sets all generators to a state that ``random_state`` gave."""
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, mt, *rest = state["numpy"]
    np.random.set_state((name, mt.cpu().numpy().astype(np.uint32), *rest))
