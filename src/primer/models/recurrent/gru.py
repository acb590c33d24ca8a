"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

from torch import nn

from primer.models.recurrent.recurrent import Recurrent


class GRU(Recurrent):
    r"""A recurrent network whose new state interpolates between the previous state and a candidate (Cho et al. 2014).
    It has two gates and three quarters of the weights of an LSTM.

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    See ``primer.models.recurrent.recurrent.Recurrent`` for the arguments.
    """

    def layer(self, **settings: Any) -> nn.GRU:
        return nn.GRU(**settings)
