"""Weight initialization."""

from __future__ import annotations

from typing import Literal

from torch import nn

from primer.errors import InputError

Initialization = Literal["default", "xavier", "he", "normal", "orthogonal", "zeros"]


def initialize(module: nn.Module, name: str) -> None:
    """Initializes all weight matrices and kernels of ``module``, and sets its biases to zero. Normalization layers keep
    scale one and shift zero, and padding embeddings stay at zero.

    Args:
        module: module to initialize, including its submodules.
        name: ``default`` keeps PyTorch's initialization. ``xavier`` is Glorot and Bengio (2010), uniform with variance
            2 / (fan in + fan out). ``he`` is He et al. (2015), normal with variance 2 / fan in, for ReLU. ``normal``
            is normal with standard deviation 0.01. ``orthogonal`` is Saxe et al. (2014), applied to the recurrent
            matrix of each gate separately. ``zeros`` demonstrates why not to do it: all units of a layer stay
            identical.

    Raises:
        InputError: if the name is unknown.
    """
    if name == "default":
        return
    initializers = {
        "xavier": nn.init.xavier_uniform_,
        "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "normal": lambda weight: nn.init.normal_(weight, std=0.01),
        "orthogonal": nn.init.orthogonal_,
        "zeros": nn.init.zeros_,
    }
    if name not in initializers:
        raise InputError(f"initialization must be one of default, {', '.join(initializers)}, not {name!r}")
    for layer in module.modules():
        if "Norm" in type(layer).__name__:
            continue
        for key, parameter in layer.named_parameters(recurse=False):
            if key.startswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                gates = parameter.shape[0] // parameter.shape[1] if key.startswith("weight_hh") else 1
                for weight in parameter.detach().chunk(gates):  # Each gate has its own recurrent matrix.
                    initializers[name](weight)
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            nn.init.zeros_(layer.weight.detach()[layer.padding_idx])
