"""Collects the weights and the outputs of the layers of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from primer.spec import Image

MAX_LAYERS = 5
"""The maximum number of convolutions whose feature maps are shown, spread over the depth of the network."""


class Layer(NamedTuple):
    """A layer that was run: its name in the model, the module, and, for a convolution, a copy of its output."""

    name: str
    module: nn.Module
    maps: Float[Tensor, "images maps height width"] | None


def run(model: nn.Module, images: Float[Tensor, "images channels height width"]) -> list[Layer]:
    """Returns the layers that have their own weights, in the order in which the model runs them on ``images``.

    ``forward`` is called directly, so this also works for compiled models. The model should be in evaluation mode;
    otherwise running statistics would be updated.
    """
    layers: list[Layer] = []

    def record(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            shown = _convolves(module) and isinstance(output, Tensor) and output.ndim == 4
            # Clone, since a subsequent activation may be in-place.
            layers.append(Layer(name, module, output.detach().clone() if shown else None))

        return hook

    observed = [(name, module) for name, module in model.named_modules() if _convolves(module) or _has_weights(module)]
    handles = [module.register_forward_hook(record(name)) for name, module in observed]
    try:
        model.forward(images)
    finally:
        for handle in handles:
            handle.remove()
    return layers


def first_filters(layers: list[Layer], image: Image) -> Float[Tensor, "filters channels height width"] | None:
    """Returns the weights of the first layer as images: the kernels of a convolution, or the rows of a linear layer
    over all pixels; None for any other kind of layer."""
    module = layers[0].module if layers else None
    if isinstance(module, nn.Conv2d):
        return module.weight.detach()
    if isinstance(module, nn.Linear) and module.in_features == image.size:
        return module.weight.detach().unflatten(1, (image.channels, image.height, image.width))
    return None


def feature_maps(layers: list[Layer], most: int = MAX_LAYERS) -> dict[str, Float[Tensor, "images maps height width"]]:
    """Returns the outputs of convolutions by name: the first, the last, and others evenly between."""
    maps = [(layer.name, layer.maps) for layer in layers if layer.maps is not None]
    if len(maps) > most:
        maps = [maps[round(k * (len(maps) - 1) / max(most - 1, 1))] for k in range(most)]
    return dict(maps)


def _convolves(module: nn.Module) -> bool:
    """Whether a module is a 2D convolution, PyTorch's or a custom one, judging by its name."""
    return type(module).__name__.endswith("Conv2d")


def _has_weights(module: nn.Module) -> bool:
    """Whether a module has its own weight matrix; normalization layers have only vectors."""
    return any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
