"""Sampling: exact distributions for each setting, and generation from a prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from primer.errors import InputError
from primer.models.layers.sampling import generate, probabilities, sample_token
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.recurrent import Recurrent
from primer.models.recurrent.rnn import RNN
from primer.spec import PADDING, UNKNOWN, NextToken, Spec, Tokens

PROBABILITIES = torch.tensor([[0.05, 0.4, 0.1, 0.25, 0.2]])
LOGITS = PROBABILITIES.log() + 7  # Softmax is invariant to an additive constant.


def renormalized(kept: list[int], power: float = 1.0) -> Tensor:
    """Returns the probabilities of the kept tokens raised to a power, normalized to sum to 1."""
    mask = torch.zeros_like(PROBABILITIES)
    mask[0, kept] = 1
    raised = PROBABILITIES**power * mask
    return raised / raised.sum()


CASES: list[tuple[dict[str, Any], Tensor]] = [
    ({}, renormalized([0, 1, 2, 3, 4])),
    ({"temperature": 0.5}, renormalized([0, 1, 2, 3, 4], 2.0)),
    ({"temperature": 4.0}, renormalized([0, 1, 2, 3, 4], 0.25)),
    ({"temperature": 0.0}, renormalized([1])),
    ({"top_k": 1}, renormalized([1])),
    ({"top_k": 3}, renormalized([1, 3, 4])),
    ({"top_k": 99}, renormalized([0, 1, 2, 3, 4])),
    ({"top_p": 0.01}, renormalized([1])),
    ({"top_p": 0.39}, renormalized([1])),
    ({"top_p": 0.41}, renormalized([1, 3])),
    ({"top_p": 0.84}, renormalized([1, 3, 4])),
    ({"top_p": 0.86}, renormalized([1, 2, 3, 4])),
    ({"top_p": 1.0}, renormalized([0, 1, 2, 3, 4])),
    ({"top_k": 4, "top_p": 0.9}, renormalized([1, 2, 3, 4])),  # 0.85 of 0.95 is under 0.9: four are needed.
    ({"top_k": 3, "top_p": 0.76}, renormalized([1, 3])),  # 0.4 and 0.25 are 0.765 of the top 3.
    ({"temperature": 0.5, "top_p": 0.8}, renormalized([1, 3], 2.0)),  # 0.16 and 0.0625 are 0.82 of the sum of squares.
    ({"temperature": 2.0, "top_k": 2}, renormalized([1, 3], 0.5)),
]


@pytest.mark.parametrize(("settings", "expected"), CASES, ids=[str(settings) for settings, _ in CASES])
def test_probabilities_are_exact(settings: dict[str, Any], expected: Tensor) -> None:
    torch.testing.assert_close(probabilities(LOGITS, **settings), expected)
    two_rows = torch.cat([LOGITS, LOGITS.flip(1)])  # Rows are independent.
    torch.testing.assert_close(probabilities(two_rows, **settings), torch.cat([expected, expected.flip(1)]))


def test_ties_do_not_keep_extra_tokens() -> None:
    probs = probabilities(torch.zeros(1, 4), top_k=2)
    torch.testing.assert_close(probs, torch.tensor([[0.5, 0.5, 0, 0]]))
    assert (probabilities(torch.zeros(1, 4), top_p=0.6) > 0).sum() == 3


def test_excluded_tokens_have_probability_zero() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, 1.0]])
    each: list[dict[str, Any]] = [{}, {"temperature": 100.0}, {"top_k": 3}, {"top_p": 1.0}]
    for settings in each:
        torch.testing.assert_close(probabilities(logits, **settings), torch.tensor([[0, 0.5, 0.5]]))


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7, "top_k": 4, "top_p": 0.95}])
def test_sampled_frequencies_match_the_probabilities(settings: dict[str, Any]) -> None:
    draws = 20_000
    tokens = sample_token(LOGITS.expand(draws, -1), generator=Generator().manual_seed(0), **settings)
    expected = probabilities(LOGITS, **settings)[0]
    tolerance = (4 * expected * (1 - expected) / draws).sqrt() * 2  # Four standard deviations.
    assert ((tokens.bincount(minlength=5) / draws - expected).abs() <= tolerance).all()


def test_half_precision_logits_are_supported() -> None:
    assert sample_token(LOGITS.bfloat16(), temperature=0.0).tolist() == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be at least 0, not -0.1"),
        ({"temperature": float("inf")}, "temperature must be at least 0, not inf"),
        ({"top_k": 0}, "top_k must be at least 1, or null, not 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, or null, not 0.0"),
        ({"top_p": 1.1}, "top_p must be above 0 and at most 1, or null, not 1.1"),
    ],
)
def test_settings_out_of_range_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_token(LOGITS, **settings)


def test_the_smallest_temperature_keeps_the_most_probable_token() -> None:
    assert probabilities(torch.tensor([[1.0, 3.0, 2.0]]), temperature=1e-45).tolist() == [[0, 1, 0]]


WORDS = ("<pad>", "<unk>", *"abcdefgh")
PROMPT = torch.tensor([[2, 5, 3, 3], [9, 2, 4, 6]])

every_kind = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])


def build(kind: type[Recurrent] = LSTM, **settings: Any) -> Recurrent:
    torch.manual_seed(0)
    model = kind(Spec(Tokens(WORDS), NextToken(WORDS)), embedding_size=6, hidden_size=5, num_layers=2, **settings)
    torch.nn.init.normal_(model.head.weight, std=20.0)  # Make the output depend strongly on the state.
    return model.eval()


@every_kind
def test_generation_with_state_equals_rereading_the_whole_sequence(kind: type[Recurrent]) -> None:
    model, tokens = build(kind), PROMPT
    for _ in range(12):
        logits = model(tokens)[:, -1].detach()
        logits[:, [PADDING, UNKNOWN]] = -torch.inf
        tokens = torch.cat([tokens, logits.argmax(1, keepdim=True)], dim=1)
    generated = generate(model, PROMPT, 12, temperature=0.0)
    assert generated.tolist() == tokens[:, 4:].tolist()
    assert generated[0].tolist() != generated[1].tolist()


def test_padding_and_unknown_are_never_generated() -> None:
    model = build()
    with torch.no_grad():
        model.head.bias[[PADDING, UNKNOWN]] = 50.0
    each: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"top_k": 2}, {"top_p": 0.1}, {"temperature": 9.0}]
    for settings in each:
        assert generate(model, PROMPT, 50, **settings).min() >= 2


def test_the_generator_is_the_only_source_of_randomness() -> None:
    model = build()
    first, same_seed, other_seed = (
        generate(model, PROMPT, 30, generator=Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, same_seed)
    assert not torch.equal(first, other_seed)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    generate(model, PROMPT, 3, generator=Generator().manual_seed(1))
    assert torch.equal(torch.rand(3), expected)  # The global generator is not used.


def test_generation_preserves_the_state_of_the_model() -> None:
    model = build(dropout=0.5)
    expected = generate(model, PROMPT, 8, temperature=0.0)
    assert not model.training
    model.train()
    assert torch.equal(generate(model, PROMPT, 8, temperature=0.0), expected)  # No dropout during generation.
    assert model.training
    assert model._carried == {}
    assert not expected.requires_grad


def test_zero_steps_generate_nothing_and_an_empty_prompt_is_an_error() -> None:
    assert generate(build(), PROMPT, 0).shape == (2, 0)
    with pytest.raises(InputError, match="at least one token"):
        generate(build(), PROMPT[:, :0], 3)
