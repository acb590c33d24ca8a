"""Attention: means of what is there, by the scores of the papers."""

from __future__ import annotations

import pytest
import torch

from primer.models.layers.attention import Additive, Attention, Dot, Memory


@pytest.mark.parametrize("attend", [Additive, Dot])
def test_attention_is_a_mean_of_what_is_there(attend: type[Attention]) -> None:
    torch.manual_seed(0)
    attention, states, queries = attend(16, 32), torch.randn(4, 5, 32), torch.randn(4, 3, 16)
    real = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    memory = Memory(states, attention.key(states), ~real)
    context, weights = attention(queries, memory)
    assert torch.allclose(weights.sum(-1), torch.ones(4, 3))
    assert torch.equal(weights > 0, real[:, None].expand_as(weights))
    assert torch.allclose(context, torch.einsum("bts,bsm->btm", weights, states), atol=1e-6)
    noise = 100 * ~real[..., None]
    assert torch.equal(context, attention(queries, Memory(states + noise, memory.keys + noise, ~real))[0])


def test_scores_are_those_of_the_papers() -> None:
    torch.manual_seed(0)
    queries, states, dot, additive = torch.randn(2, 3, 16), torch.randn(2, 5, 32), Dot(16, 32), Additive(16, 32)
    general = torch.einsum("bti,im,bsm->bts", queries, dot.key.weight, states) / 4
    assert torch.allclose(dot.score(queries, dot.key(states)), general, atol=1e-5)
    query, key, energy = additive.query, additive.key, additive.energy
    one = energy.weight[0] @ (query.weight @ queries[1, 2] + query.bias + key.weight @ states[1, 4]).tanh()
    assert torch.allclose(additive.score(queries, key(states))[1, 2, 4], one, atol=1e-5)
