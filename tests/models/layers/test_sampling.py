"""Sampling: what each setting leaves of a distribution, and how a model continues a prompt."""

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

SHARES = torch.tensor([[0.05, 0.4, 0.1, 0.25, 0.2]])
LOGITS = SHARES.log() + 7  # A constant does not matter.


def exact(kept: list[int], power: float = 1.0) -> Tensor:
    """The shares of the tokens that are kept, to a power, so that they add up to 1."""
    mask = torch.zeros_like(SHARES)
    mask[0, kept] = 1
    raised = SHARES**power * mask
    return raised / raised.sum()


CASES: list[tuple[dict[str, Any], Tensor]] = [
    ({}, exact([0, 1, 2, 3, 4])),
    ({"temperature": 0.5}, exact([0, 1, 2, 3, 4], 2.0)),
    ({"temperature": 4.0}, exact([0, 1, 2, 3, 4], 0.25)),
    ({"temperature": 0.0}, exact([1])),
    ({"top_k": 1}, exact([1])),
    ({"top_k": 3}, exact([1, 3, 4])),
    ({"top_k": 99}, exact([0, 1, 2, 3, 4])),
    ({"top_p": 0.01}, exact([1])),
    ({"top_p": 0.39}, exact([1])),
    ({"top_p": 0.41}, exact([1, 3])),
    ({"top_p": 0.84}, exact([1, 3, 4])),
    ({"top_p": 0.86}, exact([1, 2, 3, 4])),
    ({"top_p": 1.0}, exact([0, 1, 2, 3, 4])),
    ({"top_k": 4, "top_p": 0.9}, exact([1, 2, 3, 4])),  # 0.4, 0.25, 0.2, 0.1 of 0.95: the fourth is needed.
    ({"top_k": 3, "top_p": 0.76}, exact([1, 3])),  # 0.4 and 0.25 are 0.765 of the three.
    ({"temperature": 0.5, "top_p": 0.8}, exact([1, 3], 2.0)),  # 0.16 and 0.0625 are 0.82 of the squares.
    ({"temperature": 2.0, "top_k": 2}, exact([1, 3], 0.5)),
]


@pytest.mark.parametrize(("settings", "wanted"), CASES, ids=[str(settings) for settings, _ in CASES])
def test_the_distribution_is_exact(settings: dict[str, Any], wanted: Tensor) -> None:
    torch.testing.assert_close(probabilities(LOGITS, **settings), wanted)
    two = torch.cat([LOGITS, LOGITS.flip(1)])  # Each row is for itself.
    torch.testing.assert_close(probabilities(two, **settings), torch.cat([wanted, wanted.flip(1)]))


def test_of_equal_tokens_no_more_are_kept_than_wanted() -> None:
    shares = probabilities(torch.zeros(1, 4), top_k=2)
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0.5, 0, 0]]))
    assert (probabilities(torch.zeros(1, 4), top_p=0.6) > 0).sum() == 3


def test_what_must_not_be_drawn_is_not() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, 1.0]])
    each: list[dict[str, Any]] = [{}, {"temperature": 100.0}, {"top_k": 3}, {"top_p": 1.0}]
    for settings in each:
        torch.testing.assert_close(probabilities(logits, **settings), torch.tensor([[0, 0.5, 0.5]]))


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7, "top_k": 4, "top_p": 0.95}])
def test_tokens_are_drawn_as_often_as_they_are_likely(settings: dict[str, Any]) -> None:
    draws = 20_000
    chosen = sample_token(LOGITS.expand(draws, -1), generator=Generator().manual_seed(0), **settings)
    wanted = probabilities(LOGITS, **settings)[0]
    error = (4 * wanted * (1 - wanted) / draws).sqrt() * 2  # Four standard deviations.
    assert ((chosen.bincount(minlength=5) / draws - wanted).abs() <= error).all()


def test_half_precision_is_no_harm() -> None:
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
def test_refuses_what_is_no_setting(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_token(LOGITS, **settings)


WORDS = ("<pad>", "<unk>", *"abcdefgh")
PROMPT = torch.tensor([[2, 5, 3, 3], [9, 2, 4, 6]])

every_kind = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])


def build(kind: type[Recurrent] = LSTM, **settings: Any) -> Recurrent:
    torch.manual_seed(0)
    model = kind(Spec(Tokens(WORDS), NextToken(WORDS)), embedding_size=6, hidden_size=5, num_layers=2, **settings)
    torch.nn.init.normal_(model.head.weight, std=20.0)  # So that what was read makes a difference.
    return model.eval()


@every_kind
def test_going_on_from_the_state_equals_reading_all_again(kind: type[Recurrent]) -> None:
    model, read = build(kind), PROMPT
    for _ in range(12):
        logits = model(read)[:, -1].detach()
        logits[:, [PADDING, UNKNOWN]] = -torch.inf
        read = torch.cat([read, logits.argmax(1, keepdim=True)], dim=1)
    found = generate(model, PROMPT, 12, temperature=0.0)
    assert found.tolist() == read[:, 4:].tolist()
    assert found[0].tolist() != found[1].tolist()


def test_padding_and_unknown_are_never_said() -> None:
    model = build()
    with torch.no_grad():
        model.head.bias[[PADDING, UNKNOWN]] = 50.0
    each: list[dict[str, Any]] = [{}, {"temperature": 0.0}, {"top_k": 2}, {"top_p": 0.1}, {"temperature": 9.0}]
    for settings in each:
        assert generate(model, PROMPT, 50, **settings).min() >= 2


def test_the_seed_decides() -> None:
    model = build()
    first, again, other = (generate(model, PROMPT, 30, generator=Generator().manual_seed(k)) for k in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    generate(model, PROMPT, 3, generator=Generator().manual_seed(1))
    assert torch.equal(torch.rand(3), wanted)  # And nothing else is drawn from.


def test_the_model_is_left_as_it_was() -> None:
    model = build(dropout=0.5)
    without = generate(model, PROMPT, 8, temperature=0.0)
    assert not model.training
    model.train()
    assert torch.equal(generate(model, PROMPT, 8, temperature=0.0), without)  # No dropout while it speaks.
    assert model.training
    assert model._carried == {}
    assert not without.requires_grad


def test_nothing_is_said_where_nothing_is_wanted() -> None:
    assert generate(build(), PROMPT, 0).shape == (2, 0)
    with pytest.raises(InputError, match="at least one token"):
        generate(build(), PROMPT[:, :0], 3)
