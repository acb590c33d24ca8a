"""Models from checkpoints, with nothing but the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from primer.config import check_targets, locate, targets
from primer.errors import InputError
from primer.models.base import Model
from primer.objectives import Objective
from primer.spec import Spec


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
        raise InputError(f"{file} is no checkpoint of Primer: it holds no description of its model")
    check_targets(ours)
    data = ours["config"].get("data", {})
    for target in targets(list(data.values())):  # The data's own class is looked at where it is built.
        if target.split(".")[0] != "primer":
            raise InputError(f"the target {target!r} in {file} is refused: within the data it must lie in primer")
    return checkpoint


def find(path: str | Path) -> Path:
    """The checkpoint file that a path means: itself, or in a run folder ``checkpoints/best.ckpt`` or ``last.ckpt``."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(f"there is no run folder or checkpoint {path}")
    for name in ("best", "last"):
        file = path / "checkpoints" / f"{name}.ckpt"
        if file.is_file():
            return file
    raise InputError(f"there is no checkpoint in {path / 'checkpoints'}")


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
