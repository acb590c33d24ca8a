"""Whether a run may go on from a checkpoint, so that it is the run that was broken off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from primer.checkpoints import reading
from primer.errors import InputError
from primer.models.base import Model, SinglePass
from primer.spec import Spec

SPLIT = ("split_seed", "folds", "fold", "val_fraction", "test_fraction")
"""Settings of the data that say which samples are learnt and which are tested."""


def check_resuming(file: Path, model: Model) -> None:
    """Looks whether the run of a model, with its config, can be resumed.

    Raises:
        InputError: where the file is no checkpoint, or one of other data, of another split, model, optimizer or
            schedule, or where nothing is left to do.
    """
    content = reading.read(file)
    ours, config = content["primer"], model.config
    try:
        reading.check_data(f"resume={file}", Spec.from_dict(ours["spec"]), model.spec)
        for reason in (*_model(content, model), *_settings(ours["config"], config)):
            raise InputError(f"resume={file} {reason}")
    except InputError as error:
        raise InputError(f"{error}; weights={file} starts a new run from its weights") from None
    epochs, steps = (config.get("trainer", {}).get(key) for key in ("max_epochs", "max_steps"))
    if epochs is not None and 0 <= epochs <= (done := whole_epochs(content)):
        raise InputError(f"resume={file}: {done} epochs are done, so trainer.max_epochs={epochs} leaves nothing to do")
    if steps is not None and 0 <= steps <= (done := content["global_step"]):
        raise InputError(f"resume={file}: {done} steps are done, so trainer.max_steps={steps} leaves nothing to do")


def whole_epochs(content: dict[str, Any]) -> int:
    """How many epochs a checkpoint has behind it. Lightning counts one that is broken off by a limit of steps as
    ``processed``."""
    loops = content["loops"]["fit_loop"]
    whole = loops["epoch_loop.batch_progress"]["is_last_batch"]
    return loops["epoch_progress"]["current"]["processed" if whole else "completed"]


def _model(content: dict[str, Any], model: Model) -> Iterator[str]:
    trained = content["primer"]["model"]["_target_"].split(".")[-1]
    if trained != type(model).__name__:
        yield f"is of the model {trained}, and this run's is {type(model).__name__}"
    states = content["state_dict"], model.state_dict()
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    fitted = model.fitted if isinstance(model, SinglePass) else ()  # Their sizes may depend on the data.
    for name in dict.fromkeys(name for name in (*shapes[0], *shapes[1]) if name not in fitted):
        there, here = (some.get(name, "missing") for some in shapes)
        if there != here:
            yield f"is of another {trained}: {name} is {there} there and {here} here"


def _settings(there: dict[str, Any], here: dict[str, Any]) -> Iterator[str]:
    """What is not the same in two configs, and cannot be changed in the course of a run."""
    old, new = (
        {f"data.{key}": config.get("data", {}).get(key) for key in SPLIT}
        | {
            f"{group}.{key}": value
            for group in ("optimizer", "scheduler")
            for key, value in (config.get(group) or {}).items()
        }
        | {"regularization.l2": (config.get("regularization") or {}).get("l2")}
        for config in (there, here)
    )
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"was begun with {name}={old.get(name)}, and this run has {new.get(name)}"
