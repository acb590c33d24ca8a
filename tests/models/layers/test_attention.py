"""Attention: masked weighted averages, and scores that match the papers."""

from __future__ import annotations

import pytest
import torch

from primer.models.layers.attention import AdditiveAttention, Attention, DotProductAttention, Memory


@pytest.mark.parametrize("attention_class", [AdditiveAttention, DotProductAttention])
def test_context_is_a_weighted_average_that_ignores_padding(attention_class: type[Attention]) -> None:
    torch.manual_seed(0)
    attention, states, queries = attention_class(16, 32), torch.randn(4, 5, 32), torch.randn(4, 3, 16)
    real = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    memory = Memory(states, attention.key(states), ~real)
    context, weights = attention(queries, memory)
    assert torch.allclose(weights.sum(-1), torch.ones(4, 3))
    assert torch.equal(weights > 0, real[:, None].expand_as(weights))
    assert torch.allclose(context, torch.einsum("bts,bsm->btm", weights, states), atol=1e-6)
    noise = 100 * ~real[..., None]
    assert torch.equal(context, attention(queries, Memory(states + noise, memory.keys + noise, ~real))[0])


def test_scores_match_the_papers() -> None:
    torch.manual_seed(0)
    queries, states = torch.randn(2, 3, 16), torch.randn(2, 5, 32)
    dot, additive = DotProductAttention(16, 32), AdditiveAttention(16, 32)
    general = torch.einsum("bti,im,bsm->bts", queries, dot.key.weight, states) / 4
    assert torch.allclose(dot.score(queries, dot.key(states)), general, atol=1e-5)
    query, key, energy = additive.query, additive.key, additive.energy
    expected = energy.weight[0] @ (query.weight @ queries[1, 2] + query.bias + key.weight @ states[1, 4]).tanh()
    assert torch.allclose(additive.score(queries, key(states))[1, 2, 4], expected, atol=1e-5)
