"""The long short-term memory."""

from __future__ import annotations

from typing import Any

from torch import nn

from primer.models.recurrent.recurrent import Recurrent
from primer.spec import Spec


class LSTM(Recurrent):
    r"""A recurrent network with a cell state :math:`c_t` that gates write, erase and read (Hochreiter and Schmidhuber
    1997; forget gate: Gers et al. 2000). The cell state is updated additively instead of by a matrix product, so
    gradients survive many steps:

    .. math::
        i_t &= \sigma(W_{ii} x_t + b_{ii} + W_{hi} h_{t-1} + b_{hi}) \\
        f_t &= \sigma(W_{if} x_t + b_{if} + W_{hf} h_{t-1} + b_{hf}) \\
        g_t &= \tanh(W_{ig} x_t + b_{ig} + W_{hg} h_{t-1} + b_{hg}) \\
        o_t &= \sigma(W_{io} x_t + b_{io} + W_{ho} h_{t-1} + b_{ho}) \\
        c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
        h_t &= o_t \odot \tanh(c_t)

    Args:
        spec: description of the data set.
        forget_bias: initial bias of the forget gate, :math:`b_{if} + b_{hf}`. A value of 1 or 2 preserves the cell
            state early in training (Jozefowicz et al. 2015, section 2.2); None leaves it to ``initialization``.
        kwargs: see ``primer.models.recurrent.recurrent.Recurrent``.
    """

    def __init__(self, spec: Spec, forget_bias: float | None = None, **kwargs: Any) -> None:
        super().__init__(spec, **kwargs)
        if forget_bias is not None:
            for name, bias in self.recurrence.named_parameters():
                if ".bias_" in name:
                    forget = bias.detach().chunk(4)[1]
                    forget.fill_(forget_bias if ".bias_ih" in name else 0.0)

    def layer(self, **settings: Any) -> nn.LSTM:
        return nn.LSTM(**settings)
