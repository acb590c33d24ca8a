"""Trained weights to start from: torchvision's, those of a run of one's own, or those of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from primer.checkpoints import reading
from primer.data.base import DataModule
from primer.data.source import DataSource
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.image_size import stem_for
from primer.spec import UNKNOWN, Classes, Image, Input, Spec, Target

HEAD = "head."
"""What the names of the last layer's parameters start with."""


@dataclass(frozen=True)
class Weights:
    """Parameters and buffers by the names that they have in a model of ours, and what they were trained on and with
    which stem: None where that is not known."""

    source: str
    state: Mapping[str, Tensor]
    input: Input | None = None
    target: Target | None = None
    stem: str | None = None


def read(source: str, kind: type[Model], settings: Mapping[str, Any], data_dir: str | Path) -> Weights:
    """Trained weights for a model.

    Args:
        source: ``imagenet`` or another name of torchvision's, a run folder, a checkpoint, or a safetensors file.
        kind: the class of the model.
        settings: its arguments.
        data_dir: where downloads go, into the folder ``weights``.

    Raises:
        InputError: where there are no such weights, or they cannot be fetched or read.
    """
    if source.endswith(".safetensors"):
        return from_safetensors(Path(source), kind, settings)
    if Path(source).exists():
        return from_checkpoint(source, kind)
    return from_torchvision(source, kind, settings, Path(data_dir) / "weights")


def from_checkpoint(source: str, kind: type[Model]) -> Weights:
    """The weights of a run folder or a checkpoint of ours."""
    content = reading.read(source)
    trained = content["primer"]["model"]["_target_"]
    if trained != f"{kind.__module__}.{kind.__qualname__}":
        raise InputError(f"weights={source} are those of a {trained.split('.')[-1]}, not of a {kind.__name__}")
    spec = Spec.from_dict(content["primer"]["spec"])
    stem = content["primer"]["model"].get("stem")
    if stem is not None and isinstance(spec.input, Image):
        stem = stem_for(spec.input, stem)
    return Weights(source, content["state_dict"], spec.input, spec.target, stem)


def from_safetensors(file: Path, kind: type[Model], settings: Mapping[str, Any]) -> Weights:
    """The weights of a file, by the names of ours or of torchvision's; the latter are taken for ImageNet's."""
    from safetensors.torch import load_file

    if not file.is_file():
        raise InputError(f"weights={file}: there is no such file")
    try:
        state = load_file(file)
    except Exception as error:  # The library has errors of its own for each kind of damage.
        raise InputError(f"weights={file} cannot be read: {' '.join(str(error).split())}") from error
    name = kind.torchvision_name(**settings)
    if name and any(key.startswith(tuple(kind.torchvision_names)) for key in state):
        return Weights(str(file), renamed(state, kind), imagenet_input(published(name)["DEFAULT"]), stem="published")
    return Weights(str(file), state)


def from_torchvision(source: str, kind: type[Model], settings: Mapping[str, Any], folder: Path) -> Weights:
    """Torchvision's weights, from the folder or, once, from its server."""
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
    except Exception as error:  # Network, disk, digest and unpickling fail each in a way of its own.
        reason = " ".join(str(error).split()) or type(error).__name__
        if file.is_file():
            raise InputError(f"weights={source}: {file} is damaged ({reason}); delete it to fetch it again") from error
        raise InputError(
            f"weights={source}: {entry.url} cannot be downloaded ({reason}); put that file at {file}"
        ) from error
    classes = Classes(tuple(entry.meta["categories"]))
    return Weights(source, renamed(state, kind), imagenet_input(entry), classes, stem="published")


def published(name: str) -> dict[str, Any]:
    """Torchvision's weights for one of its models, by their names; those without a classifier are left out."""
    from torchvision.models import get_model_weights

    members = get_model_weights(name).__members__
    return {key: entry for key, entry in members.items() if "FEATURES" not in key}


def imagenet_input(entry: Any) -> Image:
    """What images torchvision's weights expect."""
    transforms = entry.transforms()
    side = transforms.crop_size[0]
    return Image(3, side, side, tuple(transforms.mean), tuple(transforms.std))


def renamed(state: Mapping[str, Tensor], kind: type[Model]) -> dict[str, Tensor]:
    """Torchvision's parameters, by the names that they have in a model of ours."""
    ours = {}
    for name, tensor in state.items():
        start = next((start for start in kind.torchvision_names if name.startswith(start)), "")
        ours[kind.torchvision_names.get(start, "") + name[len(start) :]] = tensor
    return ours


def set_image_format(datamodule: DataSource, weights: Weights, image_size: int | None = None) -> None:
    """Shows the data in the form that the weights were trained on: its channels, mean and standard deviation, and its
    size unless another is asked for.

    Raises:
        InputError: where the data are of another type.
    """
    if weights.input is None:
        if image_size is not None and isinstance(image := datamodule.spec.input, Image):
            assert isinstance(datamodule, DataModule)
            datamodule.set_image_format(replace(image, height=image_size, width=image_size))
        return
    if type(weights.input) is not type(datamodule.spec.input):
        trained, offered = type(weights.input).__name__, type(datamodule.spec.input).__name__
        raise InputError(f"weights={weights.source} are for inputs of type {trained}, and the data has {offered}")
    if isinstance(weights.input, Image):
        assert isinstance(datamodule, DataModule)
        side = {} if image_size is None else {"height": image_size, "width": image_size}
        datamodule.set_image_format(replace(weights.input, **side))


def with_stem(settings: dict[str, Any], weights: Weights) -> dict[str, Any]:
    """A model's settings with the stem that the weights have, where it was left to the size of the images."""
    chosen = weights.stem is not None and settings.get("stem") == "auto"
    return settings | ({"stem": weights.stem} if chosen else {})


def load(model: Model, weights: Weights) -> None:
    """Copies weights into a model. Its last layer stays new where its target is another one than theirs. Rows that
    stand for words go where the model has the same words; a new word starts as an unknown one.

    Raises:
        InputError: where any other layer is not the same.
    """
    own, state = _named(model.state_dict()), _named(weights.state)
    if replaces_head(model, weights):
        own, state = ({k: v for k, v in some.items() if not k.startswith(HEAD)} for some in (own, state))
    where = f"weights={weights.source} do not fit this {type(model).__name__}"
    for name, places in moves(model, weights).items():
        if name in own and name in state:
            state[name] = state[name][[UNKNOWN if place is None else place for place in places]]
    for name in own:
        if name not in state:
            raise InputError(f"{where}: they have no {name}")
        if state[name].shape != own[name].shape:
            raise InputError(f"{where}: {name} is {tuple(state[name].shape)} there and {tuple(own[name].shape)} here")
    if more := next((name for name in state if name not in own), None):
        raise InputError(f"{where}: they have {more}, and it has not")
    model.load_state_dict(state, strict=False)


def moves(model: Model, weights: Weights) -> dict[str, list[int | None]]:
    """By the name of a parameter whose rows stand for words: the row that each word of the model has in the weights,
    None for one that is new."""
    if weights.input is None or weights.target is None:
        return {}
    there, here = (
        model.vocabulary_parameters(Spec(weights.input, weights.target)),
        model.vocabulary_parameters(model.spec),
    )
    found = {}
    for name in (name for name in here if name in there):
        places = {word: row for row, word in enumerate(there[name])}
        found[name] = [places.get(word) for word in here[name]]
    return found


def replaces_head(model: Model, weights: Weights) -> bool:
    """Whether the last layer of a model has to learn from the start."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(HEAD)}
    moved = moves(model, weights).keys() & own.keys()
    fits = all(
        name in weights.state and (name in moved or weights.state[name].shape == tensor.shape)
        for name, tensor in own.items()
    )
    same = bool(moved) or weights.target is None or alike(weights.target, model.spec.target)
    return not (fits and same)


def note(model: Model, weights: Weights) -> str:
    """What is worth saying of the last layer, and of words."""
    head = ", with a new last layer" if replaces_head(model, weights) else ""
    own = model.state_dict()
    words = {name: places for name, places in moves(model, weights).items() if name in own and None in places}
    return head + "".join(f", {rows.count(None)} of {len(rows)} rows of {name} new" for name, rows in words.items())


def alike(one: Target, other: Target) -> bool:
    """Whether two targets have the same names, so that the same last layer serves both."""
    return type(one) is type(other) and getattr(one, "names", one) == getattr(other, "names", other)


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("objective.")}
