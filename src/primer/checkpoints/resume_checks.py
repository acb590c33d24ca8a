"""Checks whether a run can be resumed from a checkpoint, so that it continues the same run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from primer.checkpoints import reading
from primer.checkpoints.training_state import check_training_state
from primer.config.fixed import differences
from primer.errors import InputError, TrainingCompleteError, naming
from primer.models.base import Model, SinglePass
from primer.spec import Spec


def check_resumed_config(file: Path, content: dict[str, Any], config: dict[str, Any]) -> None:
    """Checks that a config has the settings of the run that a checkpoint is from. Those such as the length of the run
    may differ.

    Args:
        file: the checkpoint, for the message.
        content: its content.
        config: resolved config of the run that resumes from it.

    Raises:
        InputError: with all differences.
    """
    if changes := ", ".join(differences(content["primer"]["config"], config)):
        raise InputError(
            f"resume={file}: a resumed run cannot change {changes}; weights={file} starts a new run from its weights"
        )


def check_resuming(file: Path, content: dict[str, Any], model: Model) -> None:
    """Checks that the run of a model, with its config, can be resumed from a checkpoint.

    Args:
        file: the checkpoint, for the message.
        content: its content.
        model: the model of the run.

    Raises:
        InputError: if its data or model differ from those of the run.
        TrainingCompleteError: if nothing is left to do.
    """
    ours, config = content["primer"], model.config
    with naming(f"resume={file}"):
        check_training_state(content)
    try:
        reading.check_data(f"resume={file}", Spec.from_dict(ours["spec"]), model.spec)
        reading.check_finite(f"resume={file}", content["state_dict"], model)
        for reason in _model_differences(content, model):
            raise InputError(f"resume={file} {reason}")
    except InputError as error:
        raise InputError(f"{error}; weights={file} starts a new run from its weights") from None
    epochs, steps = (config.get("trainer", {}).get(key) for key in ("max_epochs", "max_steps"))
    epochs = 1 if isinstance(model, SinglePass) else epochs
    done = {"epochs": completed_epochs(content), "steps": content["global_step"]}
    for unit, limit in (("epochs", epochs), ("steps", steps)):
        if limit is not None and 0 <= limit <= done[unit]:
            run = file.absolute().parents[1]
            trained = f"run={run}" if (run / "config.yaml").exists() else f"ckpt={file}"
            raise TrainingCompleteError(
                f"resume={file}: {done[unit]} {unit} are done, so trainer.max_{unit}={limit} leaves nothing to do; "
                f"add trainer.max_{unit}={2 * done[unit]}, or test the model: python evaluate.py {trained}"
            )


def completed_epochs(content: dict[str, Any]) -> int:
    """Returns the number of completed epochs in a checkpoint. Lightning also counts an epoch cut short by a limit of
    steps as ``processed``."""
    loops = content["loops"]["fit_loop"]
    is_complete = loops["epoch_loop.batch_progress"]["is_last_batch"]
    return loops["epoch_progress"]["current"]["processed" if is_complete else "completed"]


def _model_differences(content: dict[str, Any], model: Model) -> Iterator[str]:
    trained = content["primer"]["model"]["_target_"].split(".")[-1]
    if trained != type(model).__name__:
        yield f"contains the model {trained}, but this run trains {type(model).__name__}"
    states = content["state_dict"], model.state_dict()
    old, new = ({name: tuple(tensor.shape) for name, tensor in state.items()} for state in states)
    fitted = model.fitted if isinstance(model, SinglePass) else ()  # Their sizes may depend on the data.
    for name in dict.fromkeys(name for name in (*old, *new) if name not in fitted):
        before, after = old.get(name, "missing"), new.get(name, "missing")
        if before != after:
            yield f"contains a different {trained}: {name} is {before} in the checkpoint and {after} in this run"
