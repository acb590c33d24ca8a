"""Activation functions, selected by name."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from primer.models.layers.validation import check_choice

Activation = Literal["step", "sigmoid", "tanh", "softmax", "relu", "leaky_relu", "gelu", "identity"]


class BinaryStep(nn.Module):
    """Returns 1 where the input is positive and 0 elsewhere: the threshold of the perceptron (Rosenblatt 1958).

    The true gradient is zero almost everywhere. The backward pass uses the gradient of the identity within [-1, 1]
    instead: the straight-through estimator (Bengio, Léonard and Courville 2013).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps a tensor of any shape elementwise."""
        clipped = x.clamp(-1, 1)
        return (x > 0).to(x.dtype) + (clipped - clipped.detach())


ACTIVATIONS: dict[str, Any] = {
    "step": BinaryStep,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": lambda: nn.Softmax(dim=1),  # Over features or channels, which are dimension 1.
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


def activation_layer(name: str) -> nn.Module:
    """Builds an activation layer.

    Raises:
        InputError: if the name is unknown.
    """
    return ACTIVATIONS[check_choice("activation", name, tuple(ACTIVATIONS))]()


def activation_functions(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the different activation layers of a model, by name, in the order in which it lists them."""
    kinds = {type(build()): name for name, build in ACTIVATIONS.items() if name != "identity"}
    return {kinds[type(layer)]: layer for layer in model.modules() if type(layer) in kinds}
