"""Splits recordings by their speakers."""

from __future__ import annotations

from typing import Any

import numpy as np

from primer.data.base import Part, Records
from primer.errors import InputError


def split_speakers(
    rows: list[Any], speaker: np.ndarray, names: list[str], fold: int, val_fraction: float
) -> dict[Part, Records]:
    """Leaves a speaker out for the test, and the next ones for validation: a model is tested and validated on voices
    that it was not trained on.

    Args:
        rows: the records.
        speaker: ``(records,)`` the speaker of each.
        names: the names of the speakers.
        fold: the speaker that is left out.
        val_fraction: the fraction of speakers for validation, at least one of them unless it is 0.

    Raises:
        InputError: if there is no speaker ``fold``, or no speaker is left for training.
    """
    count = len(names)
    if not 0 <= fold < count:
        listed = ", ".join(f"{k} {name}" for k, name in enumerate(names))
        raise InputError(f"data.fold={fold} is none of the {count} speakers: {listed}")
    held_out = max(1, round(val_fraction * count)) if val_fraction else 0
    if held_out > count - 2:
        raise InputError(f"{count} speakers are too few: one is for testing and {held_out} for validation")
    distance = (speaker.astype(np.int64) - fold) % count  # 0 is the speaker left out.
    parts: dict[Part, np.ndarray] = {
        "train": distance > held_out,
        "val": (distance > 0) & (distance <= held_out),
        "test": distance == 0,
    }
    return {part: [rows[k] for k in np.flatnonzero(mask)] for part, mask in parts.items()}
