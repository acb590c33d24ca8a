"""Loads models from checkpoints. Needs nothing but the file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from primer.config import paths
from primer.config.instantiate import check_targets, locate, targets
from primer.errors import InputError
from primer.models.base import Model
from primer.models.base.model import FORMAT
from primer.objectives import Objective
from primer.spec import Input, Spec, Target


def load(path: str | Path) -> Model:
    """Loads the trained model of a checkpoint or a run folder, in evaluation mode on the CPU.

    Raises:
        InputError: if the file does not exist, is not a Primer checkpoint, or names a class that is not a model.
    """
    return model_from_checkpoint(read_checkpoint(path))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint as plain values and tensors, without running code from it. A run folder means its best
    checkpoint.

    Raises:
        InputError: as in ``load``.
    """
    file = find_checkpoint(path)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Each kind of damage raises a different exception.
        raise InputError(f"{file} is not a checkpoint, or contains more than tensors and plain values") from error
    ours = checkpoint.get("primer") if isinstance(checkpoint, dict) else None
    if not isinstance(ours, dict) or not {"model", "objective", "spec", "config"} <= ours.keys():
        raise InputError(f"{file} is not a checkpoint of Primer: it does not describe its model")
    check_format(file, ours.get("format", 1))
    check_targets(ours)
    data, own = ours["config"].get("data", {}), ("primer", *paths.packages()[len(paths.PACKAGES) :])
    for target in targets(list(data.values())):  # The class of the data itself is checked when it is built.
        if target.split(".")[0] not in own:
            raise InputError(
                f"the target {target!r} in {file} is refused: within the data it must be in {' or '.join(own)}"
            )
    return checkpoint


def check_format(file: Path, number: Any) -> None:
    """Raises ``InputError`` if a checkpoint has a different format than this version of Primer reads."""
    if number != FORMAT:
        age = "an older" if isinstance(number, int) and number < FORMAT else "a newer"
        raise InputError(
            f"{file} was written by {age} version of Primer: its format is {number}, and this version reads {FORMAT}; "
            "use that version, or train again"
        )


def find_checkpoint(path: str | Path, names: Sequence[str] = ("best", "last")) -> Path:
    """Returns the checkpoint file that a path refers to: the path itself, or the first of ``names`` that exists in a
    run folder."""
    path = Path(os.path.expanduser(path))
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no run folder or checkpoint {path}")
    for name in names:
        file = path / "checkpoints" / f"{name}.ckpt"
        if file.is_file():
            return file
    raise InputError(f"there is no checkpoint in {path / 'checkpoints'}")


def check_data(what: str, trained: Spec, current: Spec) -> None:
    """Raises ``InputError`` if ``what`` was trained on different data than the current data.

    Args:
        what: what was trained, for the message.
        trained: spec of the data in the checkpoint.
        current: spec of the data of this run.
    """
    sides = (("input", trained.input, current.input), ("target", trained.target, current.target))
    if found := [text for side, old, new in sides for text in differences(side, old, new)]:
        raise InputError(f"{what} was trained on different data: {'; '.join(found)}")


def differences(side: str, trained: Input | Target, current: Input | Target) -> Iterator[str]:
    """Yields the differences between two descriptions of data, in words."""
    if type(trained) is not type(current):
        yield f"{side}: {type(trained).__name__} in the checkpoint, {type(current).__name__} in the data"
        return
    kind = "features" if side == "input" else type(current).__name__.lower()
    words = {"names": kind, "mean": "scale", "std": "scale"}
    for field in fields(current):
        if field.name in (
            "counts",
            "positive",
        ):  # They change how results are weighted or reported, not what is learned.
            continue
        old, new = getattr(trained, field.name), getattr(current, field.name)
        what = f"{side} {words.get(field.name, field.name)}"
        if not isinstance(new, tuple):
            old, new = (old,), (new,)
        if len(old) != len(new):
            yield f"{what}: {len(old):,} entries in the checkpoint, {len(new):,} in the data"
        elif pair := next((pair for pair in zip(old, new, strict=True) if not nearly_equal(*pair)), None):
            yield f"{what}: {pair[0]!r} in the checkpoint, {pair[1]!r} in the data"


def nearly_equal(first: str | float, second: str | float) -> bool:
    """Returns whether two entries are equal, apart from the last digits of numbers, which differ between machines."""
    if isinstance(first, str) or isinstance(second, str):
        return first == second
    return math.isclose(first, second, rel_tol=1e-4, abs_tol=1e-6)


def model_from_checkpoint(checkpoint: dict[str, Any]) -> Model:
    """Builds the model that a checkpoint describes and loads its weights.

    Args:
        checkpoint: as returned by ``read_checkpoint``.

    Raises:
        InputError: if the weights or arguments do not fit the class.
    """
    ours = checkpoint["primer"]
    spec = Spec.from_dict(ours["spec"])
    model_settings, objective_settings = dict(ours["model"]), dict(ours["objective"])
    make_objective = locate(objective_settings.pop("_target_"), Objective)
    make_model = locate(model_settings.pop("_target_"), Model)
    try:
        objective = make_objective(spec.target, **objective_settings)  # pyright: ignore[reportAbstractUsage]
        model = make_model(spec, objective=objective, **model_settings)  # pyright: ignore[reportAbstractUsage]
        model.load_state_dict(checkpoint["state_dict"])
    except (TypeError, RuntimeError) as error:  # Written by a version with a different model.
        raise InputError(
            f"the checkpoint does not fit {make_model.__name__}: {' '.join(str(error).split())}"
        ) from error
    model.config = ours["config"]
    return model.eval()
