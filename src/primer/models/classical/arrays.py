"""Conversions between tensors and the arrays of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_array(values: Tensor) -> np.ndarray:
    """Returns values in double precision, in which scikit-learn computes."""
    return values.double().cpu().numpy()


def to_buffer(values: Any, like: Tensor) -> Tensor:
    """Returns an array as a tensor on the device of ``like``; real numbers in single precision."""
    tensor = torch.as_tensor(values).to(like.device)
    return tensor.float() if tensor.is_floating_point() else tensor


def precise(values: Tensor) -> Tensor:
    """Returns values in double precision, in which differences of large numbers are accurate, where the device has
    it."""
    return values.float() if values.device.type == "mps" else values.double()


def distances(points: Tensor, others: Tensor) -> Tensor:
    """Returns the Euclidean distances ``(points, others)``."""
    return torch.cdist(precise(points), precise(others), compute_mode="use_mm_for_euclid_dist")


def draw_seed() -> int:
    """Returns a seed for scikit-learn that depends on that of the run."""
    return int(torch.randint(2**31 - 1, ()))
