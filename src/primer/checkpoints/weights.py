"""Pretrained weights to start from: torchvision's, those of an earlier run, or those of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from primer.checkpoints import reading
from primer.config.instantiate import locate
from primer.data.base import DataModule
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.image_size import stem_for
from primer.spec import UNKNOWN, Classes, Image, Input, Spec, Target

HEAD = "head."
"""Prefix of the names of the last layer's parameters."""

BACKBONE = "backbone."
"""Prefix of the names of the parameters that a model pre-trains for another."""


@dataclass(frozen=True)
class Weights:
    """Pretrained parameters and buffers.

    Attributes:
        source: where they come from, for messages.
        state: tensors by their names in Primer's model.
        input, target: the data that they were trained on; None if unknown.
        stem: the stem that they were trained with; None if unknown.
    """

    source: str
    state: Mapping[str, Tensor]
    input: Input | None = None
    target: Target | None = None
    stem: str | None = None


def read_weights(source: str, kind: type[Model], settings: Mapping[str, Any], data_dir: str | Path) -> Weights:
    """Reads pretrained weights for a model.

    Args:
        source: ``imagenet`` or another of torchvision's names, a run folder, a checkpoint, or a safetensors file.
        kind: the class of the model.
        settings: its arguments.
        data_dir: downloads are saved in its folder ``weights``.

    Raises:
        InputError: if the weights do not exist, or cannot be downloaded or read.
    """
    if source.endswith(".safetensors"):
        return from_safetensors(Path(source), kind, settings)
    if Path(source).exists():
        return from_checkpoint(source, kind)
    return from_torchvision(source, kind, settings, Path(data_dir) / "weights")


def from_checkpoint(source: str, kind: type[Model]) -> Weights:
    """Reads the weights of a run folder or a Primer checkpoint."""
    content = reading.read_checkpoint(source)
    settings = {key: value for key, value in content["primer"]["model"].items() if key != "_target_"}
    trained = content["primer"]["model"]["_target_"]
    if locate(trained, Model).backbone_class(**settings) is kind:
        return of_backbone(source, content)
    if trained != f"{kind.__module__}.{kind.__qualname__}":
        raise InputError(f"weights={source} are for {trained.split('.')[-1]}, not for {kind.__name__}")
    spec = Spec.from_dict(content["primer"]["spec"])
    stem = content["primer"]["model"].get("stem")
    if stem is not None and isinstance(spec.input, Image):
        stem = stem_for(spec.input, stem)
    return Weights(source, content["state_dict"], spec.input, spec.target, stem)


def of_backbone(source: str, content: Mapping[str, Any]) -> Weights:
    """Returns the weights of the model that a run has pre-trained, without its last layer."""
    spec = Spec.from_dict(content["primer"]["spec"])
    state = {
        name.removeprefix(BACKBONE): tensor
        for name, tensor in content["state_dict"].items()
        if name.startswith(BACKBONE)
    }
    return Weights(source, state, spec.input, spec.target)


def from_safetensors(file: Path, kind: type[Model], settings: Mapping[str, Any]) -> Weights:
    """Reads a safetensors file with Primer's names, those of another published layout that the model knows, or
    torchvision's, which are assumed to be ImageNet weights."""
    from safetensors.torch import load_file

    if not file.is_file():
        raise InputError(f"weights={file}: there is no such file")
    try:
        state = load_file(file)
    except Exception as error:  # The library raises different exceptions for each kind of damage.
        raise InputError(f"weights={file} cannot be read: {' '.join(str(error).split())}") from error
    name = kind.torchvision_name(**settings)
    if name and any(key.startswith(tuple(kind.torchvision_names)) for key in state):
        image = imagenet_input(published(name)["DEFAULT"])
        return Weights(str(file), rename_parameters(state, kind), image, stem="published")
    return Weights(str(file), kind.from_published(state) or state)


def from_torchvision(source: str, kind: type[Model], settings: Mapping[str, Any], folder: Path) -> Weights:
    """Reads torchvision's weights, which are downloaded to the folder the first time."""
    name = kind.torchvision_name(**settings)
    if name is None:
        raise InputError(
            f"weights={source}: there is no such run folder or file, and torchvision has no weights for this "
            f"{kind.__name__}"
        )
    known = published(name)
    entry = known.get("DEFAULT" if source.lower() == "imagenet" else source.upper())
    if entry is None:
        valid = ", ".join(["imagenet", *(key for key in known if key != "DEFAULT")])
        raise InputError(
            f"weights={source}: there is no such run folder or file; for {name} torchvision has the weights {valid}"
        )
    file = folder / entry.url.rsplit("/", 1)[-1]
    try:
        state = torch.hub.load_state_dict_from_url(
            entry.url, str(folder), map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except Exception as error:  # Network, disk, hash and unpickling errors all differ.
        reason = " ".join(str(error).split()) or type(error).__name__
        if file.is_file():
            raise InputError(
                f"weights={source}: {file} is damaged ({reason}); delete it to download it again"
            ) from error
        raise InputError(
            f"weights={source}: {entry.url} cannot be downloaded ({reason}); save that file as {file}"
        ) from error
    classes = Classes(tuple(entry.meta["categories"]))
    return Weights(source, rename_parameters(state, kind), imagenet_input(entry), classes, stem="published")


def published(name: str) -> dict[str, Any]:
    """Returns torchvision's weights for one of its models, by name. Weights without a classifier are left out."""
    from torchvision.models import get_model_weights

    members = get_model_weights(name).__members__
    return {key: entry for key, entry in members.items() if "FEATURES" not in key}


def imagenet_input(entry: Any) -> Image:
    """Returns the format of images that torchvision's weights expect."""
    transforms = entry.transforms()
    side = transforms.crop_size[0]
    return Image(3, side, side, tuple(transforms.mean), tuple(transforms.std))


def rename_parameters(state: Mapping[str, Tensor], kind: type[Model]) -> dict[str, Tensor]:
    """Renames torchvision's parameters to those of Primer's model."""
    if (converted := kind.from_published(state)) is not None:
        return converted
    ours = {}
    for name, tensor in state.items():
        prefix = next((prefix for prefix in kind.torchvision_names if name.startswith(prefix)), "")
        ours[kind.torchvision_names.get(prefix, "") + name[len(prefix) :]] = tensor
    return ours


def set_image_format(datamodule: DataSource, weights: Weights, image_size: int | None = None) -> None:
    """Converts images to the format that the weights were trained on: its channels, mean and standard deviation, and
    its size unless ``image_size`` is given.

    Raises:
        InputError: if the data has another input type.
    """
    if weights.input is None:
        if image_size is not None and isinstance(image := datamodule.spec.input, Image):
            assert isinstance(datamodule, DataModule)
            datamodule.set_image_format(replace(image, height=image_size, width=image_size))
        return
    if type(weights.input) is not type(datamodule.spec.input):
        trained, offered = type(weights.input).__name__, type(datamodule.spec.input).__name__
        raise InputError(f"weights={weights.source} are for inputs of type {trained}, but the data has {offered}")
    if isinstance(weights.input, Image):
        assert isinstance(datamodule, DataModule)
        size = {} if image_size is None else {"height": image_size, "width": image_size}
        datamodule.set_image_format(replace(weights.input, **size))


def with_stem(settings: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """Replaces ``stem="auto"`` in the settings of a model with the stem of the weights, if known."""
    replaces = weights.stem is not None and settings.get("stem") == "auto"
    return settings | ({"stem": weights.stem} if replaces else {})


def copy_into(model: Model, weights: Weights) -> None:
    """Copies weights into a model.

    The last layer keeps its new initialization if the model has a different target than the weights. Rows of
    vocabulary parameters are moved to the same words in the model's vocabulary; a new word starts with the row of
    ``<unk>``.

    Raises:
        InputError: if any other layer is different.
    """
    own, state = _without_objective(model.state_dict()), _without_objective(weights.state)
    if replaces_head(model, weights):
        own, state = ({k: v for k, v in tensors.items() if not k.startswith(HEAD)} for tensors in (own, state))
    problem = f"weights={weights.source} do not fit this {type(model).__name__}"
    for name, rows in vocabulary_rows(model, weights).items():
        if name in own and name in state:
            state[name] = state[name][[UNKNOWN if row is None else row for row in rows]]
    for name in own:
        if name not in state:
            raise InputError(f"{problem}: missing parameter {name}")
        if state[name].shape != own[name].shape:
            shapes = f"{tuple(state[name].shape)} in the weights and {tuple(own[name].shape)} in the model"
            is_run = weights.input is not None and Path(weights.source).exists()
            hint = "; leave model= out to take the settings of that run" if is_run else ""
            raise InputError(f"{problem}: {name} is {shapes}{hint}")
    if extra := next((name for name in state if name not in own), None):
        raise InputError(f"{problem}: unexpected parameter {extra}")
    reading.check_finite(f"weights={weights.source}", state, model)
    model.load_state_dict(state, strict=False)


def vocabulary_rows(model: Model, weights: Weights) -> dict[str, list[int | None]]:
    """Returns, for each vocabulary parameter, the row of each of the model's words in the weights; None for a new
    word."""
    if weights.input is None or weights.target is None:
        return {}
    trained = model.vocabulary_parameters(Spec(weights.input, weights.target))
    current = model.vocabulary_parameters(model.spec)
    rows = {}
    for name in (name for name in current if name in trained):
        word_to_row = {word: row for row, word in enumerate(trained[name])}
        rows[name] = [word_to_row.get(word) for word in current[name]]
    return rows


def replaces_head(model: Model, weights: Weights) -> bool:
    """Returns whether the last layer of the model is trained from scratch."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(HEAD)}
    moved = vocabulary_rows(model, weights).keys() & own.keys()
    same_shapes = all(
        name in weights.state and (name in moved or weights.state[name].shape == tensor.shape)
        for name, tensor in own.items()
    )
    same = bool(moved) or weights.target is None or same_names(weights.target, model.spec.target)
    return not (same_shapes and same)


def describe_new_parameters(model: Model, weights: Weights) -> str:
    """Describes what the weights do not provide: a last layer, and words."""
    head = ", with a new last layer" if replaces_head(model, weights) else ""
    own = model.state_dict()
    partial = {name: rows for name, rows in vocabulary_rows(model, weights).items() if name in own and None in rows}
    return head + "".join(f", {rows.count(None)} of {len(rows)} rows of {name} new" for name, rows in partial.items())


def same_names(first: Target, second: Target) -> bool:
    """Returns whether two targets have the same names, so that they can use the same last layer."""
    return type(first) is type(second) and getattr(first, "names", first) == getattr(second, "names", second)


def _without_objective(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("objective.")}
