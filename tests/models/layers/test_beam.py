"""Beam search, against the search of all sequences, greedy decoding, and cases worked out by hand."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.text.pairs import Pairs
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.layers.beam import beam_search, pad_after_end, penalty
from primer.spec import IGNORE, PADDING

WORDS, START, END = 6, 2, 3
LIMITS = torch.tensor([4, 2, 3])


class Recurrence:
    """A random network whose logits depend on all tokens before, and on the row of the batch by its first state."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.again, self.read, self.say = (
            torch.randn(shape, generator=generator) for shape in ((8, 8), (WORDS, 8), (8, WORDS))
        )
        self.state = torch.randn(1, len(LIMITS), 8, generator=generator)

    def step(self, words: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = (state @ self.again + self.read[words[:, 0]]).tanh()
        return state[0] @ self.say, state

    def log_probability(self, row: int, tokens: tuple[int, ...]) -> float:
        state, last, total = self.state[:, row : row + 1], START, 0.0
        for token in tokens:
            logits, state = self.step(torch.tensor([[last]]), state)
            total += logits.log_softmax(-1)[0, token].item()
            last = token
        return total

    def search(self, beam_size: int, power: float = 0.6) -> tuple[list[tuple[int, ...]], list[float]]:
        tokens, scores = beam_search(
            self.step, self.state, LIMITS, start=START, end=END, beam_size=beam_size, length_normalization=power
        )
        rows = [tuple(row[: row.index(END) + 1] if END in row else row) for row in tokens.tolist()]
        return [row[:limit] for row, limit in zip(rows, LIMITS.tolist(), strict=True)], scores.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("power", [0.0, 0.6, 1.5])
def test_a_beam_that_holds_everything_finds_the_best_of_all_sequences(seed: int, power: float) -> None:
    model = Recurrence(seed)
    found, scores = model.search(WORDS**3, power)
    for row, limit in enumerate(LIMITS.tolist()):
        every = [
            (*most, END)
            for length in range(limit)
            for most in itertools.product([word for word in range(WORDS) if word != END], repeat=length)
        ]
        ranked = {some: model.log_probability(row, some) / ((5 + len(some)) / 6) ** power for some in every}
        assert found[row] == max(every, key=ranked.__getitem__)
        assert scores[row] == pytest.approx(ranked[found[row]], abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    model = Recurrence(seed)
    found, _ = model.search(1)
    for row, limit in enumerate(LIMITS.tolist()):
        greedy: tuple[int, ...] = ()
        while len(greedy) < limit and END not in greedy:
            greedy += (max(range(WORDS), key=lambda word: model.log_probability(row, (*greedy, word))),)
        assert found[row] == greedy


def table(probabilities: dict[tuple[int, ...], dict[int, float]]) -> Any:
    """A step whose state is the number of a prefix, with the probabilities of what follows it."""
    prefixes = list(probabilities)

    def step(words: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, places = torch.full((len(words), WORDS), -1e4), []
        for row, (word, place) in enumerate(zip(words[:, 0].tolist(), state[0, :, 0].int().tolist(), strict=True)):
            prefix = () if word == START else (*prefixes[place], word)
            places.append(prefixes.index(prefix) if prefix in prefixes else 0)
            for token, share in probabilities.get(prefix, {PADDING: 1.0}).items():
                logits[row, token] = math.log(share)
        return logits, torch.tensor(places).view(1, -1, 1).float()

    return step


GARDEN_PATH = {
    (): {4: 0.6, 5: 0.4},
    (4,): {END: 0.5, 4: 0.25, 5: 0.25},
    (5,): {END: 1.0},
}
"""The likeliest first token leads to 0.3 in two tokens, the other one to 0.4."""


@pytest.mark.parametrize(("beam_size", "expected"), [(1, [4, END]), (2, [5, END]), (3, [5, END])])
def test_a_beam_looks_beyond_the_likeliest_token(beam_size: int, expected: list[int]) -> None:
    tokens, scores = beam_search(
        table(GARDEN_PATH), torch.zeros(1, 1, 1), torch.tensor([5]), start=START, end=END, beam_size=beam_size
    )
    assert tokens[0].tolist() == expected
    assert scores.item() == pytest.approx(math.log(0.3 if beam_size == 1 else 0.4) / (7 / 6) ** 0.6)


DISPLACED = {
    (): {END: 0.2, 4: 0.41, 5: 0.39},
    (4,): {4: 0.5, 5: 0.5},
    (5,): {4: 0.5, 5: 0.5},
    **{(a, b): {END: 0.1, 4: 0.45, 5: 0.45} for a in (4, 5) for b in (4, 5)},
}
"""Both of a beam of two start better than the sequence that ends at once, and end worse."""


def test_what_has_ended_is_not_lost_to_what_looks_better_for_a_while() -> None:
    step, settings = table(DISPLACED), {"start": START, "end": END, "length_normalization": 0.0}
    tokens, scores = beam_search(step, torch.zeros(1, 1, 1), torch.tensor([3]), beam_size=3, **settings)
    assert tokens[0].tolist() == [END, PADDING, PADDING]
    assert scores.item() == pytest.approx(math.log(0.2))
    # A beam of two does not see it: what ends has to be among as many as go on.
    tokens, _ = beam_search(step, torch.zeros(1, 1, 1), torch.tensor([3]), beam_size=2, **settings)
    assert END not in tokens


def test_length_normalization_makes_longer_sequences_worth_it() -> None:
    lengths = {(): {END: 0.3, 4: 0.7}, (4,): {4: 1.0}, (4, 4): {4: 1.0}, (4, 4, 4): {END: 0.42, 5: 0.58}}
    step, state, limits = table(lengths), torch.zeros(1, 1, 1), torch.tensor([4])
    for power, expected in ((0.0, [END]), (0.6, [4, 4, 4, END])):
        tokens, scores = beam_search(step, state, limits, start=START, end=END, beam_size=3, length_normalization=power)
        assert tokens[0, : len(expected)].tolist() == expected
        assert not tokens[0, len(expected) :].any()
        share = 0.3 if expected == [END] else 0.7 * 0.42
        assert scores.item() == pytest.approx(math.log(share) / ((5 + len(expected)) / 6) ** power, abs=1e-5)


def test_where_nothing_ends_the_likeliest_is_taken_at_the_limit() -> None:
    endless = {(): {4: 0.6, 5: 0.4}, (4,): {4: 0.5, 5: 0.5}, (5,): {4: 0.9, 5: 0.1}}
    tokens, _ = beam_search(
        table(endless), torch.zeros(1, 2, 1), torch.tensor([2, 1]), start=START, end=END, beam_size=2
    )
    assert tokens.tolist() == [[5, 4], [4, PADDING]]


def test_the_penalty_is_that_of_the_paper() -> None:
    assert penalty(torch.tensor([1, 7]), 0.6).tolist() == pytest.approx([1.0, 2**0.6])


def test_tokens_are_padded_after_their_end_or_limit() -> None:
    tokens = torch.tensor([[4, END, 5, 5], [4, 4, 4, 4], [END, END, 4, 4]])
    assert pad_after_end(tokens, torch.tensor([4, 3, 4]), END).tolist() == [
        [4, END, 0, 0],
        [4, 4, 4, 0],
        [END, 0, 0, 0],
    ]


class Mapped(Pairs):
    """Words whose letters are written as one or two others, by their neighbour."""

    def read(self) -> dict[Part, Records]:
        generator = random.Random(0)
        words = {"".join(generator.choices("abc", k=generator.randint(1, 7))): None for _ in range(400)}
        return {"train": [(word, word.replace("ab", "x").replace("c", "yz")) for word in words]}


@pytest.fixture(scope="module")
def data() -> Mapped:
    return Mapped().prepare()


@pytest.fixture(scope="module", params=[("dot", "lstm"), ("additive", "gru"), ("none", "lstm")], ids="-".join)
def trained(request: pytest.FixtureRequest, data: Mapped) -> Seq2Seq:
    """A model that knows something, and is not yet sure of it."""
    torch.manual_seed(0)
    attention, cell = request.param
    model = Seq2Seq(data.spec, embedding_size=8, hidden_size=24, attention=attention, cell=cell)
    optimizer, batch = torch.optim.Adam(model.parameters(), 0.02), data.parts["train"]
    for _ in range(40):
        optimizer.zero_grad()
        assert batch.targets is not None
        model.objective.loss(model.forward_batch(batch), batch.targets)[0].backward()
        optimizer.step()
    return model.eval()


def log_probability(model: Seq2Seq, batch: Batch, tokens: Tensor) -> Tensor:
    """Of a sequence for each row, up to its end."""
    logits = model.forward_batch(batch._replace(targets=tokens.where(tokens != PADDING, IGNORE)))
    steps = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    return (steps * (tokens != PADDING)).sum(1)


@torch.no_grad()
def test_a_beam_finds_likelier_sequences_than_greedy_decoding(trained: Seq2Seq, data: Mapped) -> None:
    batch = data.parts["test"]
    trained.beam_size = 1
    greedy, (same, score) = trained.predict(batch), trained.search(batch)
    assert torch.equal(greedy, same)
    trained.beam_size, trained.length_normalization = 6, 0.0
    found, beam_score = trained.search(batch)
    assert torch.equal(trained.predict(batch), found)
    gain = log_probability(trained, batch, found) - log_probability(trained, batch, greedy)
    assert (gain > -1e-5).all()
    assert gain.max() > 0.01
    assert torch.allclose(log_probability(trained, batch, found), beam_score, atol=1e-4)
    trained.length_normalization = 0.6
    assert (trained.search(batch)[1] >= score - 1e-5).all()


@torch.no_grad()
def test_padding_and_batch_size_change_no_prediction_of_a_beam(trained: Seq2Seq, data: Mapped) -> None:
    trained.beam_size = 4
    batch = data.parts["test"]
    rows = [[token for token in row if token != PADDING] for row in trained.predict(batch).tolist()]
    wide = Batch(torch.nn.functional.pad(batch.inputs, (0, 5)), None, batch.lengths)
    assert [[token for token in row if token != PADDING] for row in trained.predict(wide).tolist()] == rows
    for place in range(0, batch.size, 9):
        one = batch.select(slice(place, place + 1))
        assert [token for token in trained.predict(one)[0].tolist() if token != PADDING] == rows[place]
