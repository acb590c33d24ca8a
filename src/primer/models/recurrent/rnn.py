"""The simple recurrent network."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from primer.errors import InputError
from primer.models.recurrent.recurrent import Recurrent
from primer.spec import Spec


class RNN(Recurrent):
    r"""A recurrent network whose state is one layer of the input and the state before (Elman 1990):

    .. math:: h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Its gradient shrinks or grows with each step, so it hardly learns what lies far back (Bengio et al. 1994).

    Args:
        spec: what the data set offers.
        activation: tanh or relu.
        kwargs: as in ``primer.models.recurrent.recurrent.Recurrent``.

    Raises:
        ValueError: for another activation, and as ``Recurrent``.
    """

    def __init__(self, spec: Spec, activation: Literal["tanh", "relu"] = "tanh", **kwargs: Any) -> None:
        if activation not in ("tanh", "relu"):
            raise InputError(f"activation must be one of tanh, relu, not {activation!r}")
        self.activation = activation  # First, since the base's constructor builds the layers.
        super().__init__(spec, **kwargs)

    def layer(self, **settings: Any) -> nn.RNN:
        return nn.RNN(nonlinearity=self.activation, **settings)
