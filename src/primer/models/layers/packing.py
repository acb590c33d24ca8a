"""Sequences of different lengths in recurrent layers.

PyTorch packs them, which torch.export cannot trace: the graph would have a fixed number of steps. While a model is
exported, the layers are loops over the time steps instead, with the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

UNROLLED = 32
"""The number of steps up to which a loop of a known length is unrolled."""


class Padded(NamedTuple):
    """Padded sequences of a model that is being exported.

    Attributes:
        steps: ``(batch, time, features)``.
        real: ``(batch, time)`` False at padding positions.
    """

    steps: Tensor
    real: Tensor


Steps = TypeVar("Steps", bound=Tensor | PackedSequence | Padded)


def pack(steps: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"]) -> PackedSequence | Padded:
    """Packs padded sequences, so that recurrent layers do not read padding."""
    if torch.compiler.is_exporting():
        return Padded(steps, torch.arange(steps.shape[1], device=steps.device) < lengths[:, None])
    return pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)


def unpack(
    states: Tensor | PackedSequence | Padded, total_length: int | None = None
) -> tuple[Float[Tensor, "batch time features"], Bool[Tensor, "batch time"]]:
    """Returns padded states, zero at padding positions, and a mask of the real steps."""
    if isinstance(states, Tensor):
        return states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    if isinstance(states, Padded):
        return states.steps * states.real[..., None], states.real
    steps, lengths = pad_packed_sequence(states, batch_first=True, total_length=total_length)
    return steps, torch.arange(steps.shape[1], device=steps.device) < lengths.to(steps.device)[:, None]


def recur(layer: nn.Module, steps: Steps, state: Any = None) -> tuple[Steps, Any]:
    """Returns the states of a recurrent layer at each step, and its final state, starting from ``state`` or zero."""
    if not torch.compiler.is_exporting():
        return layer(steps, state)
    assert isinstance(layer, nn.RNNBase)
    values, real = (steps.steps, steps.real) if isinstance(steps, Padded) else (steps, None)
    directions = 2 if layer.bidirectional else 1
    final: list[tuple[Tensor, ...]] = []
    for number in range(layer.num_layers):
        parts = []
        for backward in range(directions):
            start = None
            if state is not None:
                given = state if isinstance(state, tuple) else (state,)
                start = tuple(part[number * directions + backward] for part in given)
            suffix = f"_l{number}{'_reverse' if backward else ''}"
            states, last = _loop(layer, suffix, values, real, start)  # type: ignore[arg-type]
            parts.append(states)
            final.append(last)
        values = torch.cat(parts, -1)
    ended = tuple(torch.stack(parts) for parts in zip(*final, strict=True))
    return values if real is None else Padded(values, real), ended if len(ended) > 1 else ended[0]  # type: ignore[arg-type]


def _loop(
    layer: nn.RNNBase, suffix: str, steps: Tensor, real: Tensor | None, start: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs one direction of one layer. At padding positions, the state stays as it is."""
    from torch._higher_order_ops import scan

    cell = CELLS[layer.mode]
    bias, hidden_bias = (getattr(layer, f"bias_{kind}{suffix}", None) for kind in ("ih", "hh"))
    read = F.linear(steps, getattr(layer, f"weight_ih{suffix}"), bias).transpose(0, 1)
    mask = (torch.ones_like(steps[..., :1]) if real is None else real[..., None].to(steps.dtype)).transpose(0, 1)
    weight = getattr(layer, f"weight_hh{suffix}")
    if start is None:
        zeros = steps.new_zeros(steps.shape[0], layer.hidden_size)
        start = (zeros, zeros.clone()) if layer.mode == "LSTM" else (zeros,)

    def step(state: tuple[Tensor, ...], given: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        new = cell(given[0], F.linear(state[0], weight, hidden_bias), state)
        new = tuple(torch.where(given[1] > 0, after, before) for after, before in zip(new, state, strict=True))
        return new, new[0].clone()

    backward, length = suffix.endswith("_reverse"), steps.shape[1]
    if isinstance(length, int) and length <= UNROLLED:
        state, states = start, []
        for index in reversed(range(length)) if backward else range(length):
            state, output = step(state, (read[index], mask[index]))
            states.append(output)
        return torch.stack(states[::-1] if backward else states, 1), state
    inputs = (read.flip(0), mask.flip(0)) if backward else (read, mask)
    last, outputs = scan(step, start, inputs)
    return (outputs.flip(0) if backward else outputs).transpose(0, 1), tuple(last)


def _rnn(activation: Callable[[Tensor], Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    return lambda read, recurrent, state: (activation(read + recurrent),)


def _gru(read: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    (reset, update, new), (reset_h, update_h, new_h) = read.chunk(3, 1), recurrent.chunk(3, 1)
    gate = (update + update_h).sigmoid()
    candidate = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return ((1 - gate) * candidate + gate * state[0],)


def _lstm(read: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    write, keep, new, show = (read + recurrent).chunk(4, 1)
    cell = keep.sigmoid() * state[1] + write.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


CELLS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "RNN_TANH": _rnn(torch.tanh), "RNN_RELU": _rnn(torch.relu), "GRU": _gru, "LSTM": _lstm,
}  # fmt: skip
"""The equations of a step, from what the layer reads from the input and from its state, and the state."""
