"""Describes the inputs and the outputs of an exported file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from primer.export.graph import input_type, labels, output_name
from primer.models.base import Model
from primer.spec import (
    Image,
    Interactions,
    MaskedToken,
    NextToken,
    Sequence,
    Series,
    Tags,
    Tokens,
    Values,
    Vector,
    Video,
    recording_of,
)

LENGTHS = {"name": "lengths", "type": "int64", "shape": ["batch"], "values": "steps without padding"}
"""The second input of models of padded sequences."""


def describe(model: Model, format: str, file: str, difference: float) -> dict[str, Any]:
    """Returns the description of an exported file.

    Args:
        model: the exported model.
        format: the format of the file.
        file: the name of the file.
        difference: the largest difference from the model that was found.
    """
    description: dict[str, Any] = {
        "file": file,
        "format": format,
        "model": type(model).__name__,
        "torch": str(torch.__version__),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if format == "safetensors":
        return description | {"spec": model.spec.to_dict()}
    return description | {
        "inputs": describe_inputs(model),
        "output": describe_output(model),
        "largest_difference": difference,
    }


def describe_inputs(model: Model) -> list[dict[str, Any]]:
    """Describes each input: name, type, shape and what its values are."""
    kind, target = model.spec.input, model.spec.target
    type_name = str(input_type(kind)).removeprefix("torch.")
    first: dict[str, Any] = {"name": "inputs", "type": type_name}
    if recording := recording_of(kind):
        first |= {"recording": asdict(recording)}
    if isinstance(kind, Image):
        shape = kind.native or (kind.channels, kind.height, kind.width)
        values = f"pixels from 0 to {kind.maximum:g}"
        if recording:
            values = "spectrograms of recordings, from 0 to 1, as primer.data.audio.features.Features computes them"
        return [first | {"shape": ["batch", *shape], "values": values}]
    if isinstance(kind, Video):
        shape = ["batch", kind.frames, kind.channels, kind.height, kind.width]
        return [first | {"shape": shape, "values": f"pixels from 0 to {kind.maximum:g}"}]
    if isinstance(kind, Vector):
        values = "one column per feature, in the unit of the data"
        columns = [asdict(column) for column in kind.columns]
        return [first | {"shape": ["batch", kind.features], "values": values, "names": list(kind.names)}
                | ({"columns": columns} if columns else {})]  # fmt: skip
    if isinstance(kind, Series):
        values = "one column per feature, in the unit of the data; time is at least 2"
        if recording:
            values = "standardized features of recordings, as primer.data.audio.features.Features computes them"
        shape = ["batch", "time", kind.features]
        return [
            first | {"shape": shape, "values": values, "names": list(kind.names)},
            *([LENGTHS] if kind.padded else []),
        ]
    if isinstance(kind, Interactions):
        values = "indices of a user and an item; 0 is one that training did not see"
        names = {"names": list(kind.names), "users": list(kind.users), "items": list(kind.items)}
        return [first | {"shape": ["batch", 2], "values": values} | names]
    assert isinstance(kind, Tokens)
    first |= {
        "shape": ["batch", "time", 1 + kind.word_length] if kind.characters else ["batch", "time"],
        "values": "indices of tokens, padded with 0; 1 is an unknown token; time is at least 2",
        "tokenizer": kind.tokenizer,
        "lowercase": kind.lowercase,
        "vocabulary": list(kind.vocabulary),
    }
    if kind.characters:
        first["characters"] = list(kind.characters)
        first["values"] += "; each is followed by the indices of the letters of the word"
    if isinstance(target, NextToken):
        return [first]
    return [first, LENGTHS]


def describe_output(model: Model) -> dict[str, Any]:
    """Describes the output: name, shape, and the labels of its last dimension or of the tokens."""
    target, name = model.spec.target, output_name(model.spec)
    names = labels(model.spec)
    if isinstance(target, Sequence):
        values = f"indices of tokens, decoded greedily; padded with 0 after the token {target.end}"
        return {"name": name, "shape": ["batch", model.max_length], "values": values, "vocabulary": names}
    shape: list[Any] = ["batch", len(names)]
    if isinstance(target, Tags | NextToken | MaskedToken):
        shape = ["batch", "time", len(names)]
    values = "in the unit of the data" if isinstance(target, Values) else "probabilities"
    result = {"name": name, "shape": shape, "values": values, "labels": names}
    threshold = getattr(model.objective, "threshold", None)
    return result if not isinstance(threshold, float) else result | {"threshold": threshold}
