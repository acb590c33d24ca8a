"""The Elman recurrent network."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from primer.models.layers.validation import check_choice
from primer.models.recurrent.recurrent import Recurrent
from primer.spec import Spec


class RNN(Recurrent):
    r"""A simple recurrent network, whose state is a single layer of the input and the previous state (Elman 1990):

    .. math:: h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    Its gradients vanish or explode over time, so it hardly learns long-range dependencies (Bengio et al. 1994).

    Args:
        spec: description of the data set.
        activation: ``tanh`` or ``relu``.
        kwargs: see ``primer.models.recurrent.recurrent.Recurrent``.

    Raises:
        InputError: if the activation is unknown, and in the cases listed for ``Recurrent``.
    """

    def __init__(self, spec: Spec, activation: Literal["tanh", "relu"] = "tanh", **kwargs: Any) -> None:
        check_choice("activation", activation, ("tanh", "relu"))
        self.activation = activation  # Set first, since the constructor of the base class builds the layers.
        super().__init__(spec, **kwargs)

    def layer(self, **settings: Any) -> nn.RNN:
        return nn.RNN(nonlinearity=self.activation, **settings)
