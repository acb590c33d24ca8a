"""Beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from primer.spec import PADDING

DecoderState = Tensor | tuple[Tensor, Tensor]
"""GRU: hidden states ``(layers, batch, hidden)``. LSTM: hidden states and cell states."""


def beam_search(
    step: Callable[[Tensor, Any], tuple[Tensor, Any]],
    state: Any,
    max_lengths: Int[Tensor, " batch"],
    *,
    start: int,
    end: int,
    beam_size: int,
    length_normalization: float = 0.6,
    reorder: Callable[[Any, Tensor], Any] | None = None,
) -> tuple[Int[Tensor, "batch target"], Float[Tensor, " batch"]]:
    r"""Searches for the most probable sequence of each row of a batch.

    At each step, every hypothesis is extended with every token, and the ``beam_size`` extensions with the highest
    log-probability are considered. Those that end are set aside and cannot be displaced by later ones; the others,
    filled up with the next best extensions, stay in the beam. The search of a row stops at its maximum length, when no
    hypothesis can still beat the best finished one, or when ``beam_size`` hypotheses have finished and none in the beam
    scores better at its current length. If none has finished at the maximum length, the most probable unfinished
    hypothesis is returned. A beam size of 1 is greedy decoding.

    Args:
        step: maps the last tokens ``(batch * beam, 1)`` and the state to logits ``(batch * beam, vocabulary)`` and the
            new state. The hypotheses of a row are consecutive.
        state: initial state of each row.
        max_lengths: maximum number of tokens of each row.
        start: token fed to the first step.
        end: token that ends a sequence.
        beam_size: number of hypotheses kept per row.
        length_normalization: exponent :math:`\alpha` of the length penalty; 0 disables it, which favors short
            sequences.
        reorder: selects rows of a state, in the given order; by default, of that of a recurrent decoder.

    Returns:
        The best sequence of each row, including ``end`` and followed by padding, and its score: the log-probability
        divided by the length penalty, :math:`\log p / ((5 + n) / 6)^\alpha`, where the length :math:`n` includes
        ``end`` (Wu et al. 2016, equation 14, without the coverage term).
    """
    reorder = reorder or reorder_state
    batch, beam, device = len(max_lengths), beam_size, max_lengths.device
    rows = torch.arange(batch, device=device)[:, None]
    state, rows = reorder(state, rows.expand(-1, beam).flatten()), rows * beam
    scores = torch.full((batch, beam), float("-inf"), device=device)
    scores[:, 0] = 0.0  # All hypotheses of a row are identical at first, so keep only one.
    tokens = torch.full((batch, beam, 1), start, dtype=torch.int64, device=device)
    best = torch.full((batch, 1), start, dtype=torch.int64, device=device)
    best_score = torch.full((batch,), float("-inf"), device=device)
    num_finished = torch.zeros_like(max_lengths)
    done = torch.zeros_like(max_lengths, dtype=torch.bool)
    max_penalty = length_penalty(max_lengths, length_normalization)
    length = 0
    while not done.all():
        length += 1
        logits, state = step(tokens[..., -1].reshape(-1, 1), state)
        log_p = logits.float().log_softmax(-1).view(batch, beam, -1)
        vocabulary_size = log_p.shape[-1]
        # Twice the beam size, since at most half of the candidates can end.
        totals, indices = (scores[..., None] + log_p).flatten(1).topk(min(2 * beam, beam * vocabulary_size))
        origins, chosen = indices // vocabulary_size, indices % vocabulary_size
        tokens = torch.cat([tokens.gather(1, origins[..., None].expand(-1, -1, length)), chosen[..., None]], dim=-1)
        ends = chosen == end

        finished = ends[:, :beam] & totals[:, :beam].isfinite()
        num_finished += finished.sum(1)
        # If nothing has finished at the maximum length, take the first candidate, which is the most probable.
        finished[:, 0] |= (length >= max_lengths) & (num_finished == 0)
        penalty = length_penalty(length, length_normalization)
        normalized = totals[:, :beam] / penalty
        value, argmax = normalized.masked_fill(~finished, float("-inf")).max(1)
        improved = (value > best_score) & ~done
        candidate = tokens.gather(1, argmax[:, None, None].expand(-1, -1, length + 1))[:, 0]
        best = torch.where(improved[:, None], candidate, F.pad(best, (0, 1), value=PADDING))
        best_score = torch.where(improved, value, best_score)

        kept = ends.int().argsort(dim=1, stable=True)[:, :beam]
        scores = totals.gather(1, kept).masked_fill(ends.gather(1, kept), float("-inf"))
        tokens = tokens.gather(1, kept[..., None].expand(-1, -1, length + 1))
        state = reorder(state, (rows + origins.gather(1, kept)).flatten())
        # Log-probabilities only decrease, and the length penalty is at most that of the maximum length.
        hopeless = best_score >= scores[:, 0] / max_penalty
        enough = (num_finished >= beam) & (best_score >= scores[:, 0] / penalty)
        done |= hopeless | enough | (length >= max_lengths)
    return best[:, 1:], best_score


def pad_after_end(tokens: Int[Tensor, "batch target"], max_lengths: Int[Tensor, " batch"], end: int) -> Tensor:
    """Replaces the tokens after the first ``end`` of each row, or after its maximum length, with padding."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    ends = torch.where(tokens == end, positions, tokens.shape[1]).amin(dim=1)
    return tokens.masked_fill(positions > torch.minimum(ends, max_lengths - 1)[:, None], PADDING)


def reorder_state(state: DecoderState, rows: Int[Tensor, " rows"]) -> DecoderState:
    """Selects rows of the batch dimension, in the given order."""
    if isinstance(state, tuple):
        return state[0].index_select(1, rows), state[1].index_select(1, rows)
    return state.index_select(1, rows)


def length_penalty(length: Any, exponent: float) -> Any:
    r"""The divisor of a log-probability, :math:`((5 + n) / 6)^\alpha` (Wu et al. 2016, equation 14)."""
    return ((5 + length) / 6) ** exponent
