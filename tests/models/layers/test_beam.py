"""Beam search, compared with exhaustive search, greedy decoding, and examples worked out by hand."""

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
from primer.models.layers.beam import beam_search, length_penalty, pad_after_end
from primer.spec import IGNORE, PADDING

VOCABULARY_SIZE, START, END = 6, 2, 3
MAX_LENGTHS = torch.tensor([4, 2, 3])


class RandomDecoder:
    """A random recurrent network. Its logits depend on all previous tokens, and through the initial state on the row of
    the batch."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.recurrent_weight, self.embedding, self.output_weight = (
            torch.randn(shape, generator=generator) for shape in ((8, 8), (VOCABULARY_SIZE, 8), (8, VOCABULARY_SIZE))
        )
        self.state = torch.randn(1, len(MAX_LENGTHS), 8, generator=generator)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = (state @ self.recurrent_weight + self.embedding[tokens[:, 0]]).tanh()
        return state[0] @ self.output_weight, state

    def log_probability(self, row: int, tokens: tuple[int, ...]) -> float:
        state, last, total = self.state[:, row : row + 1], START, 0.0
        for token in tokens:
            logits, state = self.step(torch.tensor([[last]]), state)
            total += logits.log_softmax(-1)[0, token].item()
            last = token
        return total

    def search(self, beam_size: int, exponent: float = 0.6) -> tuple[list[tuple[int, ...]], list[float]]:
        tokens, scores = beam_search(
            self.step, self.state, MAX_LENGTHS, start=START, end=END, beam_size=beam_size, length_normalization=exponent
        )
        rows = [tuple(row[: row.index(END) + 1] if END in row else row) for row in tokens.tolist()]
        return [row[:max_length] for row, max_length in zip(rows, MAX_LENGTHS.tolist(), strict=True)], scores.tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exponent", [0.0, 0.6, 1.5])
def test_a_large_enough_beam_equals_exhaustive_search(seed: int, exponent: float) -> None:
    model = RandomDecoder(seed)
    best, scores = model.search(VOCABULARY_SIZE**3, exponent)
    for row, max_length in enumerate(MAX_LENGTHS.tolist()):
        sequences = [
            (*prefix, END)
            for length in range(max_length)
            for prefix in itertools.product([token for token in range(VOCABULARY_SIZE) if token != END], repeat=length)
        ]
        expected = {
            sequence: model.log_probability(row, sequence) / ((5 + len(sequence)) / 6) ** exponent
            for sequence in sequences
        }
        assert best[row] == max(sequences, key=expected.__getitem__)
        assert scores[row] == pytest.approx(expected[best[row]], abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    model = RandomDecoder(seed)
    best, _ = model.search(1)
    for row, max_length in enumerate(MAX_LENGTHS.tolist()):
        greedy: tuple[int, ...] = ()
        while len(greedy) < max_length and END not in greedy:
            greedy += (max(range(VOCABULARY_SIZE), key=lambda token: model.log_probability(row, (*greedy, token))),)
        assert best[row] == greedy


def table(probabilities: dict[tuple[int, ...], dict[int, float]]) -> Any:
    """A decoder step that looks up the probabilities of the next token by prefix. Its state is the prefix index."""
    prefixes = list(probabilities)

    def step(tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, indices = torch.full((len(tokens), VOCABULARY_SIZE), -1e4), []
        for row, (last, index) in enumerate(zip(tokens[:, 0].tolist(), state[0, :, 0].int().tolist(), strict=True)):
            prefix = () if last == START else (*prefixes[index], last)
            indices.append(prefixes.index(prefix) if prefix in prefixes else 0)
            for token, probability in probabilities.get(prefix, {PADDING: 1.0}).items():
                logits[row, token] = math.log(probability)
        return logits, torch.tensor(indices).view(1, -1, 1).float()

    return step


GARDEN_PATH = {
    (): {4: 0.6, 5: 0.4},
    (4,): {END: 0.5, 4: 0.25, 5: 0.25},
    (5,): {END: 1.0},
}
"""The most probable first token leads to a sequence of probability 0.3, the other one to 0.4."""


@pytest.mark.parametrize(("beam_size", "expected"), [(1, [4, END]), (2, [5, END]), (3, [5, END])])
def test_a_beam_finds_sequences_that_greedy_decoding_misses(beam_size: int, expected: list[int]) -> None:
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
"""With a beam of two, both hypotheses are first more, then less probable than the sequence that ends at once."""


def test_finished_hypotheses_are_not_displaced_by_unfinished_ones() -> None:
    step, settings = table(DISPLACED), {"start": START, "end": END, "length_normalization": 0.0}
    tokens, scores = beam_search(step, torch.zeros(1, 1, 1), torch.tensor([3]), beam_size=3, **settings)
    assert tokens[0].tolist() == [END, PADDING, PADDING]
    assert scores.item() == pytest.approx(math.log(0.2))
    # A beam of two misses it: a finished hypothesis must rank among the top ``beam_size``.
    tokens, _ = beam_search(step, torch.zeros(1, 1, 1), torch.tensor([3]), beam_size=2, **settings)
    assert END not in tokens


def test_length_normalization_favors_longer_sequences() -> None:
    lengths = {(): {END: 0.3, 4: 0.7}, (4,): {4: 1.0}, (4, 4): {4: 1.0}, (4, 4, 4): {END: 0.42, 5: 0.58}}
    step, state, max_lengths = table(lengths), torch.zeros(1, 1, 1), torch.tensor([4])
    for exponent, expected in ((0.0, [END]), (0.6, [4, 4, 4, END])):
        tokens, scores = beam_search(
            step, state, max_lengths, start=START, end=END, beam_size=3, length_normalization=exponent
        )
        assert tokens[0, : len(expected)].tolist() == expected
        assert not tokens[0, len(expected) :].any()
        probability = 0.3 if expected == [END] else 0.7 * 0.42
        penalty = ((5 + len(expected)) / 6) ** exponent
        assert scores.item() == pytest.approx(math.log(probability) / penalty, abs=1e-5)


def test_if_nothing_ends_the_most_probable_sequence_is_returned_at_the_maximum_length() -> None:
    endless = {(): {4: 0.6, 5: 0.4}, (4,): {4: 0.5, 5: 0.5}, (5,): {4: 0.9, 5: 0.1}}
    tokens, _ = beam_search(
        table(endless), torch.zeros(1, 2, 1), torch.tensor([2, 1]), start=START, end=END, beam_size=2
    )
    assert tokens.tolist() == [[5, 4], [4, PADDING]]


def test_length_penalty_matches_the_paper() -> None:
    assert length_penalty(torch.tensor([1, 7]), 0.6).tolist() == pytest.approx([1.0, 2**0.6])


def test_tokens_are_padded_after_the_end_or_maximum_length() -> None:
    tokens = torch.tensor([[4, END, 5, 5], [4, 4, 4, 4], [END, END, 4, 4]])
    assert pad_after_end(tokens, torch.tensor([4, 3, 4]), END).tolist() == [
        [4, END, 0, 0],
        [4, 4, 4, 0],
        [END, 0, 0, 0],
    ]


class Rewritten(Pairs):
    """Words in which letters are replaced by one or two others, depending on their neighbors."""

    def read(self) -> dict[Part, Records]:
        generator = random.Random(0)
        words = {"".join(generator.choices("abc", k=generator.randint(1, 7))): None for _ in range(400)}
        return {"train": [(word, word.replace("ab", "x").replace("c", "yz")) for word in words]}


@pytest.fixture(scope="module")
def data() -> Rewritten:
    return Rewritten().prepare()


@pytest.fixture(scope="module", params=[("dot", "lstm"), ("additive", "gru"), ("none", "lstm")], ids="-".join)
def trained(request: pytest.FixtureRequest, data: Rewritten) -> Seq2Seq:
    """A partly trained model: better than chance, but not confident."""
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
    """Returns the log-probability of the sequence of each row, up to its end."""
    logits = model.forward_batch(batch._replace(targets=tokens.where(tokens != PADDING, IGNORE)))
    steps = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    return (steps * (tokens != PADDING)).sum(1)


@torch.no_grad()
def test_a_beam_finds_more_probable_sequences_than_greedy_decoding(trained: Seq2Seq, data: Rewritten) -> None:
    batch = data.parts["test"]
    trained.beam_size = 1
    greedy, (beam_of_one, score) = trained.predict_batch(batch), trained.search(batch)
    assert torch.equal(greedy, beam_of_one)
    trained.beam_size, trained.length_normalization = 6, 0.0
    best, beam_score = trained.search(batch)
    assert torch.equal(trained.predict_batch(batch), best)
    gain = log_probability(trained, batch, best) - log_probability(trained, batch, greedy)
    assert (gain > -1e-5).all()
    assert gain.max() > 0.01
    assert torch.allclose(log_probability(trained, batch, best), beam_score, atol=1e-4)
    trained.length_normalization = 0.6
    assert (trained.search(batch)[1] >= score - 1e-5).all()


@torch.no_grad()
def test_padding_and_batch_size_do_not_change_beam_search(trained: Seq2Seq, data: Rewritten) -> None:
    trained.beam_size = 4
    batch = data.parts["test"]
    rows = [[token for token in row if token != PADDING] for row in trained.predict_batch(batch).tolist()]
    padded = Batch(torch.nn.functional.pad(batch.inputs, (0, 5)), None, batch.lengths)
    assert [[token for token in row if token != PADDING] for row in trained.predict_batch(padded).tolist()] == rows
    for index in range(0, batch.size, 9):
        sample = batch.select(slice(index, index + 1))
        assert [token for token in trained.predict_batch(sample)[0].tolist() if token != PADDING] == rows[index]
