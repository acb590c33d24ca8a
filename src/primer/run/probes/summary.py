"""Lists the layers of a model before any training."""

from __future__ import annotations

import json
from typing import Any

import torch

from primer.batch import Batch
from primer.callbacks.report import describe_layers
from primer.data.base import DataModule
from primer.models.base import GradientFree, Model
from primer.records import run_folder
from primer.records.console import show_table
from primer.run.probes.brief import Probe
from primer.spec import Tags


def summarize(probe: Probe) -> dict[str, float]:
    """Prints each layer with its kind, its shapes in and out without the batch dimension, and its parameters."""
    model = probe.model.eval()
    layers = describe_layers(probe.trainer, model, first_batch(probe))
    show_table("layers", rows(layers))
    counts = count_parameters(model)
    show_table("parameters", {
        "all": f"{counts['summary/parameters']:,} ({counts['summary/bytes'] / 1e6:,.2f} MB)",
        "trainable": f"{counts['summary/trainable']:,}",
    })  # fmt: skip
    run_folder.write(probe.folder / "report.json", json.dumps({"layers": layers}, indent=2, ensure_ascii=False) + "\n")
    return dict(counts)


def rows(layers: list[dict[str, Any]]) -> dict[str, str]:
    """Returns a row per layer, in aligned columns."""
    kind = max((len(layer["kind"]) for layer in layers), default=0)
    sizes = [["×".join(map(str, layer[side])) for side in ("in", "out")] for layer in layers]
    left, right = (max((len(size[k]) for size in sizes), default=0) for k in (0, 1))
    return {
        layer["name"]: f"{layer['kind']:{kind}}  {into:>{left}} {'→' if out else ' '} {out:{right}}  "
        f"{layer['parameters']:>11,}"
        for layer, (into, out) in zip(layers, sizes, strict=True)
    }


def first_batch(probe: Probe) -> Batch | None:
    """Returns two samples of the training part; None if the data does not have batches of samples, or the model
    cannot compute anything before it is fitted."""
    if not isinstance(probe.datamodule, DataModule) or isinstance(probe.model, GradientFree):
        return None
    batch = next(iter(probe.datamodule.loader("train", train=False)))
    return batch.select(torch.arange(min(2, batch.size)), tagged=isinstance(probe.model.spec.target, Tags))


def count_parameters(model: Model) -> dict[str, int]:
    """Returns the number of parameters, of those that are trained, and of the bytes of all."""
    parameters = list(model.parameters())
    return {
        "summary/parameters": sum(parameter.numel() for parameter in parameters),
        "summary/trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "summary/bytes": sum(parameter.numel() * parameter.element_size() for parameter in parameters),
    }
