"""Models from checkpoints, with nothing but the file."""

from __future__ import annotations

import math
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
    """The trained model of a checkpoint or a run folder, in evaluation mode on the CPU.

    Raises:
        InputError: where there is no such file, or it is no checkpoint of Primer, or it names a class that is no model.
    """
    return model_from(read(path))


def read(path: str | Path) -> dict[str, Any]:
    """A checkpoint as plain values and tensors. Of a run folder, the best one.

    Raises:
        InputError: as ``load``.
    """
    file = find(path)
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Whatever is wrong with a file: each kind of damage has an error of its own.
        raise InputError(f"{file} is no checkpoint, or holds more than tensors and plain values") from error
    ours = checkpoint.get("primer") if isinstance(checkpoint, dict) else None
    if not isinstance(ours, dict) or not {"model", "objective", "spec", "config"} <= ours.keys():
        raise InputError(f"{file} is not a checkpoint of Primer: it does not describe its model")
    check_format(file, ours.get("format", 1))
    check_targets(ours)
    data, own = ours["config"].get("data", {}), ("primer", *paths.packages()[len(paths.PACKAGES) :])
    for target in targets(list(data.values())):  # The data's own class is checked where it is built.
        if target.split(".")[0] not in own:
            raise InputError(
                f"the target {target!r} in {file} is refused: within the data it must be in {' or '.join(own)}"
            )
    return checkpoint


def check_format(file: Path, number: Any) -> None:
    """Raises ``InputError`` if a checkpoint was written in another format than this version of Primer reads."""
    if number != FORMAT:
        age = "an older" if isinstance(number, int) and number < FORMAT else "a newer"
        raise InputError(
            f"{file} was written by {age} version of Primer: its format is {number}, and this version reads {FORMAT}; "
            "use that version, or train again"
        )


def find(path: str | Path, names: Sequence[str] = ("best", "last")) -> Path:
    """The checkpoint file that a path means: itself, or in a run folder the first that is there of the ``names``."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no run folder or checkpoint {path}")
    for name in names:
        file = path / "checkpoints" / f"{name}.ckpt"
        if file.is_file():
            return file
    raise InputError(f"there is no checkpoint in {path / 'checkpoints'}")


def check_data(what: str, there: Spec, here: Spec) -> None:
    """Raises ``InputError`` where ``what`` was trained on other data than those that are here."""
    sides = (("input", there.input, here.input), ("target", there.target, here.target))
    if other := [text for side, one, two in sides for text in differences(side, one, two)]:
        raise InputError(f"{what} was trained on other data: {'; '.join(other)}")


def differences(side: str, there: Input | Target, here: Input | Target) -> Iterator[str]:
    """What two descriptions of data do not share, in words."""
    if type(there) is not type(here):
        yield f"{side}: {type(there).__name__} there, {type(here).__name__} here"
    else:
        kind = "features" if side == "input" else type(here).__name__.lower()
        words = {"names": kind, "mean": "scale", "std": "scale"}
        for field in fields(here):
            old, new = getattr(there, field.name), getattr(here, field.name)
            what = f"{side} {words.get(field.name, field.name)}"
            if not isinstance(new, tuple):
                old, new = (old,), (new,)
            if len(old) != len(new):
                yield f"{what}: {len(old):,} entries there, {len(new):,} here"
            elif pair := next((pair for pair in zip(old, new, strict=True) if not alike(*pair)), None):
                yield f"{what}: {pair[0]!r} there, {pair[1]!r} here"


def alike(one: str | float, other: str | float) -> bool:
    """Whether two entries are the same, but for the last digits, in which machines differ."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)


def model_from(checkpoint: dict[str, Any]) -> Model:
    """The model that ``read`` gave the description and the weights of."""
    ours = checkpoint["primer"]
    spec = Spec.from_dict(ours["spec"])
    settings, goal = dict(ours["model"]), dict(ours["objective"])
    make_objective = locate(goal.pop("_target_"), Objective)
    make_model = locate(settings.pop("_target_"), Model)
    try:
        objective = make_objective(spec.target, **goal)  # pyright: ignore[reportAbstractUsage]
        model = make_model(spec, objective=objective, **settings)  # pyright: ignore[reportAbstractUsage]
        model.load_state_dict(checkpoint["state_dict"])
    except (TypeError, RuntimeError) as error:  # Written by a version whose model was another.
        raise InputError(
            f"the checkpoint does not fit {make_model.__name__}: {' '.join(str(error).split())}"
        ) from error
    model.config = ours["config"]
    return model.eval()
