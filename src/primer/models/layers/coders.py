"""Encoders of images and vectors, and decoders that invert their shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

from primer.errors import InputError
from primer.models.layers.validation import check_choice, check_sizes
from primer.spec import Image, Vector

Architecture = Literal["auto", "dense", "convolutional"]

KERNEL, STRIDE, PADDING = 4, 2, 1
"""Each convolution halves the height and the width; since the kernel is a multiple of the stride, transposed
convolutions cover all pixels equally often (Odena et al. 2016)."""


def resolve_architecture(architecture: Architecture, kind: Image | Vector, channels: Sequence[int]) -> str:
    """Returns ``dense`` or ``convolutional``; ``auto`` is convolutional for images, and dense for vectors.

    Raises:
        InputError: if the name is unknown, or the inputs are not images, or smaller than the convolutions need.
    """
    check_choice("architecture", architecture, ("auto", "dense", "convolutional"))
    if architecture == "dense" or (architecture == "auto" and isinstance(kind, Vector)):
        return "dense"
    if isinstance(kind, Vector):
        raise InputError("architecture=convolutional requires images; use dense for vectors")
    if not channels:
        raise InputError("channels must give the feature maps of at least one convolution")
    smallest = STRIDE ** len(channels)
    if min(kind.height, kind.width) < smallest:
        raise InputError(
            f"images of {kind.height}x{kind.width} pixels are too small for {len(channels)} convolutions that halve "
            f"them: at least {smallest}x{smallest} are needed; shorten channels, or use architecture=dense"
        )
    return "convolutional"


def build_encoder(
    kind: Image | Vector,
    outputs: int,
    architecture: str,
    hidden_sizes: Sequence[int],
    channels: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
) -> nn.Sequential:
    """Builds a network from inputs to vectors of size ``outputs``.

    Args:
        kind: type of the inputs.
        outputs: number of outputs.
        architecture: ``dense`` or ``convolutional``.
        hidden_sizes: units of the hidden layers of a dense network.
        channels: feature maps of the convolutions.
        activation: builds an activation layer.
        wrap: applied to each layer with weights, such as ``spectral_norm``.
    """
    if architecture == "dense":
        check_sizes(**{f"hidden_sizes[{k}]": size for k, size in enumerate(hidden_sizes)})
        sizes = [kind.size, *hidden_sizes]
        hidden = [part for a, b in pairwise(sizes) for part in (wrap(nn.Linear(a, b)), activation())]
        return nn.Sequential(nn.Flatten(), *hidden, wrap(nn.Linear(sizes[-1], outputs)))
    assert isinstance(kind, Image)
    check_sizes(**{f"channels[{k}]": size for k, size in enumerate(channels)})
    layers: list[nn.Module] = []
    for a, b in pairwise([kind.channels, *channels]):
        layers += [wrap(nn.Conv2d(a, b, KERNEL, STRIDE, PADDING)), activation()]
    height, width = map_sizes(kind, len(channels))[-1]
    return nn.Sequential(*layers, nn.Flatten(), wrap(nn.Linear(channels[-1] * height * width, outputs)))


def build_decoder(
    kind: Image | Vector,
    inputs: int,
    architecture: str,
    hidden_sizes: Sequence[int],
    channels: Sequence[int],
    normalize: bool = False,
) -> nn.Sequential:
    """Builds a network from vectors of size ``inputs`` to the shape of the data: the layers of the encoder in reverse
    order. Its outputs are not bounded.

    Args:
        kind, architecture, hidden_sizes, channels: as for the encoder.
        inputs: number of inputs.
        normalize: whether to apply batch normalization to the hidden layers.
    """
    if architecture == "dense":
        sizes = [inputs, *reversed(hidden_sizes)]
        hidden: list[nn.Module] = []
        for a, b in pairwise(sizes):
            hidden += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if normalize else []), nn.ReLU()]
        shape = (kind.channels, kind.height, kind.width) if isinstance(kind, Image) else (kind.features,)
        return nn.Sequential(*hidden, nn.Linear(sizes[-1], kind.size), nn.Unflatten(1, shape))
    assert isinstance(kind, Image)
    sides = map_sizes(kind, len(channels))
    height, width = sides[-1]
    widths = [*reversed(channels), kind.channels]
    layers: list[nn.Module] = [
        nn.Linear(inputs, widths[0] * height * width),
        nn.Unflatten(1, (widths[0], height, width)),
    ]
    for (a, b), small, large in zip(pairwise(widths), reversed(sides), list(reversed(sides))[1:], strict=False):
        layers += [nn.BatchNorm2d(a)] if normalize else []
        odd = (large[0] - STRIDE * small[0], large[1] - STRIDE * small[1])  # What halving has rounded off.
        layers += [nn.ReLU(), nn.ConvTranspose2d(a, b, KERNEL, STRIDE, PADDING, output_padding=odd)]
    return nn.Sequential(*layers)


def map_sizes(image: Image, layers: int) -> list[tuple[int, int]]:
    """Returns the height and the width of the image and of the feature maps of each layer."""
    return [(image.height // STRIDE**k, image.width // STRIDE**k) for k in range(layers + 1)]
