"""The long short-term memory."""

from __future__ import annotations

from typing import Any

from torch import nn

from primer.models.recurrent import Recurrent


class LSTM(Recurrent):
    r"""A recurrent network with a memory :math:`c_t` that gates write to, clear and read (Hochreiter and Schmidhuber
    1997; the forget gate is Gers et al. 2000). The memory is added to, not multiplied by a matrix, so a gradient
    survives many steps:

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Its arguments are those of ``primer.models.recurrent.Recurrent``.
    """

    def layers(self, **settings: Any) -> nn.LSTM:
        return nn.LSTM(**settings)
