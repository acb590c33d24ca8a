"""Loads models from checkpoints. Needs nothing but the file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from primer.checkpoints.archive import check_archive
from primer.checkpoints.schema import check_content
from primer.config.instantiate import instantiate, locate
from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.objectives import Objective
from primer.spec import Input, Spec, Target, Waveform

REDUNDANT = ("columns", "counts", "positive")
"""Fields of a spec that do not make data different: the names and the scale show every difference in columns, and the
others only change how results are weighted or reported."""


def load(path: str | Path) -> Model:
    """Loads the trained model of a checkpoint or a run folder, in evaluation mode on the CPU.

    Raises:
        InputError: if the file does not exist, is not a Primer checkpoint, or names a class that is not a model.
    """
    return model_from_checkpoint(read_checkpoint(path))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint as plain values and tensors, without running code from it, and validates its structure. A run
    folder means its best checkpoint.

    Raises:
        InputError: as in ``load``.
    """
    file = find_checkpoint(path)
    check_archive(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # Each kind of damage raises a different exception.
        raise InputError(f"{file} is not a checkpoint, or contains more than tensors and plain values") from error
    try:
        check_content(content)
    except InputError as error:
        separator = " " if str(error).startswith(("is ", "was ")) else ": "
        raise InputError(f"{file}{separator}{error}") from error.__cause__
    return content


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


def differences(side: str, trained: Input | Target | Waveform, current: Input | Target | Waveform) -> Iterator[str]:
    """Yields the differences between two descriptions of data, in words."""
    if type(trained) is not type(current):
        yield f"{side}: {type(trained).__name__} in the checkpoint, {type(current).__name__} in the data"
        return
    kind = "features" if side == "input" else type(current).__name__.lower()
    words = {"names": kind, "mean": "scale", "std": "scale"}
    for field in fields(current):
        if field.name in REDUNDANT:
            continue
        old, new = getattr(trained, field.name), getattr(current, field.name)
        if isinstance(new, Waveform):
            yield from differences(side, old, new)
            continue
        what = f"{side} {words.get(field.name, field.name)}"
        olds, news = (old, new) if isinstance(new, tuple) else ((old,), (new,))
        if len(olds) != len(news):
            yield f"{what}: {len(olds):,} entries in the checkpoint, {len(news):,} in the data"
        elif pair := next((pair for pair in zip(olds, news, strict=True) if not nearly_equal(*pair)), None):
            yield f"{what}: {pair[0]!r} in the checkpoint, {pair[1]!r} in the data"


def nearly_equal(first: str | float | None, second: str | float | None) -> bool:
    """Returns whether two entries are equal, apart from the last digits of numbers, which differ between machines."""
    if not isinstance(first, int | float) or not isinstance(second, int | float):
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
    kind = locate(ours["model"]["_target_"], Model)
    try:
        objective = instantiate(ours["objective"], Objective, target=spec.target)
        check_shapes(ours["model"], spec, objective, checkpoint["state_dict"])
        model = instantiate(ours["model"], Model, spec=spec, objective=objective)
        model.load_state_dict(checkpoint["state_dict"])
    except InputError:
        raise
    except Exception as error:  # A constructor that has changed since the checkpoint was written may raise anything.
        raise InputError(f"the checkpoint does not fit {kind.__name__}: {' '.join(str(error).split())}") from error
    check_finite("the checkpoint", checkpoint["state_dict"], model)
    model.config = ours["config"]
    return model.eval()


def check_shapes(node: dict[str, Any], spec: Spec, objective: Objective, state: Mapping[str, Tensor]) -> None:
    """Checks the shapes of weights without allocating any, so that sizes that do not fit them cannot fill the memory.

    Raises:
        InputError: for the first parameter or buffer with another shape than the model's.
    """
    try:
        with torch.device("meta"):
            model = instantiate(node, Model, spec=spec, objective=objective)
    except (NotImplementedError, RuntimeError):  # The constructor computes with the values of tensors.
        return
    fitted = model.fitted if isinstance(model, SinglePass) else ()  # Their sizes may depend on the data.
    for name, tensor in model.state_dict().items():
        if name in state and name not in fitted and state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)} in the checkpoint and {tuple(tensor.shape)} in the model"
            raise InputError(f"the checkpoint does not fit {type(model).__name__}: {name} is {shapes}")


def check_finite(source: str, state: Mapping[str, Tensor], model: Model) -> None:
    """Checks the weights that ``source`` provides for a model.

    Raises:
        InputError: if a parameter is not finite, or a buffer is not a number, with its name. A buffer may be infinite,
            like an attention mask.
    """
    parameters = {name for name, _ in model.named_parameters()}
    for name, tensor in state.items():
        if not (tensor.is_floating_point() and tensor.numel()):
            continue
        smallest, largest = torch.aminmax(tensor)  # One pass, without a copy. Both are NaN if any value is.
        if smallest.isnan() or (name in parameters and not (smallest.isfinite() and largest.isfinite())):
            number = "NaN" if smallest.isnan() else "infinite"
            raise InputError(f"{source} is of a diverged run: {name} contains {number} values")
