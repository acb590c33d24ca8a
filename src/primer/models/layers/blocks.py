"""Activations and normalisations by name, as every model takes them."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from primer.errors import InputError

Activation = Literal["step", "sigmoid", "tanh", "softmax", "relu", "leaky_relu", "gelu", "identity"]
Normalization = Literal["none", "batch", "layer", "group"]


class Step(nn.Module):
    """1 where the input is positive, else 0: the threshold of the perceptron (Rosenblatt 1958).

    Its gradient is zero almost everywhere, so that of the identity stands in for it within [-1, 1]: the
    straight-through estimator (Bengio, Léonard and Courville 2013).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        passed = x.clamp(-1, 1)
        return (x > 0).to(x.dtype) + (passed - passed.detach())


ACTIVATIONS: dict[str, Any] = {
    "step": Step,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": lambda: nn.Softmax(dim=1),  # Over features or channels, which come second.
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


def activation_layer(name: str) -> nn.Module:
    """The layer of that name. Raises ``ValueError`` for another name."""
    if name not in ACTIVATIONS:
        raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}")
    return ACTIVATIONS[name]()


def normalization_layer(name: str, features: int, image: bool = False) -> nn.Module:
    """A normalisation over ``(batch, features)``, or ``(batch, features, height, width)`` for images.

    ``batch`` is Ioffe and Szegedy (2015), ``layer`` Ba et al. (2016), ``group`` Wu and He (2018) with groups of at
    least 8 features, 32 groups at most.

    Raises:
        ValueError: for another name.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(features) if image else nn.BatchNorm1d(features)
    if name == "layer":
        return nn.GroupNorm(1, features) if image else nn.LayerNorm(features)
    if name == "group":
        groups = next(g for g in range(min(32, max(1, features // 8)), 0, -1) if features % g == 0)
        return nn.GroupNorm(groups, features)
    raise InputError(f"normalization must be one of none, batch, layer, group, not {name!r}")


def check_rate(name: str, rate: float) -> float:
    """A probability such as dropout's. Raises ``ValueError`` unless it is at least 0 and less than 1."""
    if not 0 <= rate < 1:
        raise InputError(f"{name} must be at least 0 and less than 1, not {rate}")
    return rate


def check_sizes(**sizes: int) -> None:
    """Raises ``ValueError`` for the first size that is not positive."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} must be at least 1, not {size}")


def groups_after(layers: nn.Sequential, kind: type[nn.Module]) -> list[list[nn.Module]]:
    """The layers of a sequence, in groups each of which ends with a layer of that kind."""
    groups: list[list[nn.Module]] = [[]]
    for layer in layers:
        groups[-1].append(layer)
        if isinstance(layer, kind):
            groups.append([])
    return [group for group in groups if group]
