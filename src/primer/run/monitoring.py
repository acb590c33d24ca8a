"""The metrics that a run watches: for its best checkpoint, early stopping and plateaus of the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from primer.data.base import DataModule
from primer.errors import InputError, suggest
from primer.models.base import Model
from primer.objectives.tagging import unknown_words


def check_monitors(config: dict[str, Any], model: Model, datamodule: DataModule) -> None:
    """Raises ``InputError`` where a metric is to be watched that the run does not measure."""
    measured = ["train/loss", "lr", "val/loss", *(f"val/{name}" for name in model.objective.scalar_names())]
    for place, name in monitors(config):
        if name not in measured and name not in model.logged_metrics:
            raise InputError(f"{place}={name}: this run measures no such thing; {suggest(name, measured)}")
        if name == "val/accuracy_unknown":
            validated = datamodule.parts["val"].size
            if validated and not any(unknown_words(batch.inputs).any() for batch in datamodule.val_dataloader()):
                raise InputError(f"{place}={name}: the validation part has no word that training does not have")


def monitors(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is watched, and where the config says so."""
    nodes = {f"callbacks.{name}": node for name, node in config["callbacks"].items()}
    for place, node in {"": config, "scheduler": config["scheduler"], **nodes}.items():
        if isinstance(node, dict) and isinstance(node.get("monitor"), str):
            yield f"{place}.monitor".lstrip("."), node["monitor"]


def watched(config: dict[str, Any], datamodule: DataModule, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings whose ``monitor`` is the training loss, and whose ``mode`` is that of a loss, where they ask for a
    metric of the validation and nothing is validated."""
    validates = datamodule.parts["val"].size and config["trainer"]["limit_val_batches"] != 0
    if validates or not str(settings.get("monitor")).startswith("val/"):
        return settings
    return settings | {"monitor": "train/loss"} | ({"mode": "min"} if "mode" in settings else {})
