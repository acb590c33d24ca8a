"""How weights start."""

from __future__ import annotations

from typing import Literal

from torch import nn

from primer.errors import InputError

Initialization = Literal["default", "xavier", "he", "normal", "orthogonal", "zeros"]


def initialize(module: nn.Module, name: str) -> None:
    """Sets every weight matrix and kernel of ``module``, and its biases to zero; norms stay at one and zero, and the
    vector of padding in an embedding at zero.

    Args:
        module: what is initialised, with all that is in it.
        name: ``default`` leaves PyTorch's own; ``xavier`` is Glorot and Bengio (2010), uniform with variance
            2 / (fan in + fan out); ``he`` is He et al. (2015), normal with variance 2 / fan in, for ReLU;
            ``normal`` is normal with deviation 0.01; ``orthogonal`` is Saxe et al. (2014), for the recurrent matrix
            of each gate by itself; ``zeros`` shows why not: all units of a layer stay the same.

    Raises:
        ValueError: for another name.
    """
    if name == "default":
        return
    rules = {
        "xavier": nn.init.xavier_uniform_,
        "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "normal": lambda weight: nn.init.normal_(weight, std=0.01),
        "orthogonal": nn.init.orthogonal_,
        "zeros": nn.init.zeros_,
    }
    if name not in rules:
        raise InputError(f"initialization must be one of default, {', '.join(rules)}, not {name!r}")
    for layer in module.modules():
        if "Norm" in type(layer).__name__:
            continue
        for key, parameter in layer.named_parameters(recurse=False):
            if key.startswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                gates = parameter.shape[0] // parameter.shape[1] if key.startswith("weight_hh") else 1
                for weight in parameter.detach().chunk(gates):  # Each gate has a recurrent matrix of its own.
                    rules[name](weight)
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            nn.init.zeros_(layer.weight.detach()[layer.padding_idx])
