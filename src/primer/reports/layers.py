"""What the layers of a network hold, and what they put out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from primer.spec import Image

MOST_LAYERS = 5
"""Of how many convolutions the maps are shown, spread over the depth of a network."""


class Layer(NamedTuple):
    """A layer that was run: its name in the model, itself, and, of a convolution, a copy of its output."""

    name: str
    module: nn.Module
    maps: Float[Tensor, "images maps height width"] | None


def run(model: nn.Module, images: Float[Tensor, "images channels height width"]) -> list[Layer]:
    """The layers that have weights of their own, in the order in which the model runs them on ``images``.

    ``forward`` is called as it is, so that a compiled model shows its layers too. The model should be in evaluation
    mode, or running statistics would move.
    """
    layers: list[Layer] = []

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            shown = _convolves(module) and isinstance(output, Tensor) and output.ndim == 4
            # A copy: the activation that follows may work in place.
            layers.append(Layer(name, module, output.detach().clone() if shown else None))

        return hook

    observed = [(name, module) for name, module in model.named_modules() if _convolves(module) or _has_weights(module)]
    handles = [module.register_forward_hook(note(name)) for name, module in observed]
    try:
        model.forward(images)
    finally:
        for handle in handles:
            handle.remove()
    return layers


def first_filters(layers: list[Layer], image: Image) -> Float[Tensor, "filters channels height width"] | None:
    """The kernels of a first layer that is a convolution, or the rows of one that is linear over all pixels, as images;
    None for a first layer of another kind."""
    module = layers[0].module if layers else None
    if isinstance(module, nn.Conv2d):
        return module.weight.detach()
    if isinstance(module, nn.Linear) and module.in_features == image.size:
        return module.weight.detach().unflatten(1, (image.channels, image.height, image.width))
    return None


def feature_maps(layers: list[Layer], most: int = MOST_LAYERS) -> dict[str, Float[Tensor, "images maps height width"]]:
    """The outputs of convolutions by name: the first, the last, and others spread evenly between them."""
    found = [(layer.name, layer.maps) for layer in layers if layer.maps is not None]
    if len(found) > most:
        found = [found[round(k * (len(found) - 1) / max(most - 1, 1))] for k in range(most)]
    return dict(found)


def _convolves(module: nn.Module) -> bool:
    """Whether it is a convolution over images, of torch or of one's own: the name tells."""
    return type(module).__name__.endswith("Conv2d")


def _has_weights(module: nn.Module) -> bool:
    """Whether it has a matrix of its own; norms have vectors alone."""
    return any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
