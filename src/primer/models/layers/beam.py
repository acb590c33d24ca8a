"""Beam search: the likeliest sequence, as far as a few hypotheses side by side can find it; and where one ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from primer.spec import PADDING

State = Tensor | tuple[Tensor, Tensor]
"""Of a GRU the hidden states ``(layers, batch, hidden)``; of an LSTM those and the cells."""


def beam_search(
    step: Callable[[Tensor, State], tuple[Tensor, State]],
    state: State,
    limits: Int[Tensor, " batch"],
    *,
    start: int,
    end: int,
    beam_size: int,
    length_normalization: float = 0.6,
) -> tuple[Int[Tensor, "batch target"], Float[Tensor, " batch"]]:
    r"""The best sequence for each row of a batch, with its ``end``, then padding; and its score, which is its log-
    probability over a power of its length :math:`n`, ``end`` included: :math:`\log p / ((5 + n) / 6)^\alpha` (Wu et
    al. 2016, equation 14, without its term for coverage).

    At each step every hypothesis is continued with every token, and of these the ``beam_size`` with the highest
    log-probability are looked at: those that end are set aside, and no later one can displace them; the rest, filled up
    with the next best ones, go on. A row is through at its limit, or where no hypothesis can become better than the
    best that has ended, or once ``beam_size`` of them have ended and none that goes on is better at its present length.
    Where none has ended at the limit, the likeliest is taken as it is. With a beam of 1 this is greedy decoding.

    Args:
        step: takes the last tokens ``(batch * beam, 1)`` and the state, and gives logits ``(batch * beam, words)`` and
            the new state. The hypotheses of a row stand next to each other.
        state: of each row at the start.
        limits: the most tokens of each row.
        start: the token that is fed first.
        end: the token that ends a sequence.
        beam_size: how many hypotheses of a row go on.
        length_normalization: :math:`\alpha`; 0 leaves the log-probability as it is, which favours short sequences.
    """
    batch, beam, device = len(limits), beam_size, limits.device
    rows = torch.arange(batch, device=device)[:, None]
    state, rows = reorder_state(state, rows.expand(-1, beam).flatten()), rows * beam
    scores = torch.full((batch, beam), float("-inf"), device=device)
    scores[:, 0] = 0.0  # The hypotheses are still the same: one is enough.
    tokens = torch.full((batch, beam, 1), start, dtype=torch.int64, device=device)
    best = torch.full((batch, 1), start, dtype=torch.int64, device=device)
    best_score = torch.full((batch,), float("-inf"), device=device)
    finished = torch.zeros_like(limits)
    through = torch.zeros_like(limits, dtype=torch.bool)
    least = penalty(limits, length_normalization)
    length = 0
    while not through.all():
        length += 1
        logits, state = step(tokens[..., -1].reshape(-1, 1), state)
        log_p = logits.float().log_softmax(-1).view(batch, beam, -1)
        words = log_p.shape[-1]
        # Twice as many as go on: at most half of them can end.
        totals, places = (scores[..., None] + log_p).flatten(1).topk(min(2 * beam, beam * words))
        origins, chosen = places // words, places % words
        tokens = torch.cat([tokens.gather(1, origins[..., None].expand(-1, -1, length)), chosen[..., None]], dim=-1)
        ends = chosen == end

        stops = ends[:, :beam] & totals[:, :beam].isfinite()
        finished += stops.sum(1)
        # Where none has ended at the limit, the first is the likeliest.
        stops[:, 0] |= (length >= limits) & (finished == 0)
        present = penalty(length, length_normalization)
        normalized = totals[:, :beam] / present
        value, which = normalized.masked_fill(~stops, float("-inf")).max(1)
        better = (value > best_score) & ~through
        found = tokens.gather(1, which[:, None, None].expand(-1, -1, length + 1))[:, 0]
        best = torch.where(better[:, None], found, F.pad(best, (0, 1), value=PADDING))
        best_score = torch.where(better, value, best_score)

        on = ends.int().argsort(dim=1, stable=True)[:, :beam]
        scores = totals.gather(1, on).masked_fill(ends.gather(1, on), float("-inf"))
        tokens = tokens.gather(1, on[..., None].expand(-1, -1, length + 1))
        state = reorder_state(state, (rows + origins.gather(1, on)).flatten())
        # A longer hypothesis is less likely, and its log-probability is divided by the penalty of the limit at most.
        hopeless = best_score >= scores[:, 0] / least
        enough = (finished >= beam) & (best_score >= scores[:, 0] / present)
        through |= hopeless | enough | (length >= limits)
    return best[:, 1:], best_score


def pad_after_end(tokens: Int[Tensor, "batch target"], limits: Int[Tensor, " batch"], end: int) -> Tensor:
    """The same tokens with padding after the first ``end`` of each row, or after its limit."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    ends = torch.where(tokens == end, places, tokens.shape[1]).amin(dim=1)
    return tokens.masked_fill(places > torch.minimum(ends, limits - 1)[:, None], PADDING)


def reorder_state(state: State, rows: Int[Tensor, " rows"]) -> State:
    """The state of some rows of a batch."""
    if isinstance(state, tuple):
        return state[0].index_select(1, rows), state[1].index_select(1, rows)
    return state.index_select(1, rows)


def penalty(length: Any, power: float) -> Any:
    """What a log-probability is divided by."""
    return ((5 + length) / 6) ** power
