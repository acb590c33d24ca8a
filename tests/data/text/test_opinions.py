"""The opinions of the grammar, and the baseline that counts words."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from primer.data.text.opinions import GRAMMAR, LABELS, NEUTRAL, POLAR, Opinions, generate
from primer.data.text.text_classification import Text
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import Classes, Tokens


def read(**settings: Any) -> list[Text]:
    return Opinions(**settings).read()["train"]  # type: ignore[return-value]


@pytest.fixture(scope="module")
def data() -> Opinions:
    return Opinions().prepare()


def test_every_symbol_of_the_grammar_is_known_and_used() -> None:
    used, known = {"opinion"}, GRAMMAR.keys() | POLAR.keys() | NEUTRAL.keys()
    for ways in GRAMMAR.values():
        for way in ways:
            weight, *pieces = way.split()
            assert int(weight) > 0
            used |= {piece.rstrip("+-") for piece in pieces} & known
            assert all(piece[-1] in "+-" for piece in pieces if piece.rstrip("+-") in GRAMMAR | POLAR)
            assert not any(piece[-1] in "+-" for piece in pieces if piece.rstrip("+-") not in GRAMMAR | POLAR)
    assert used == known


def test_no_word_is_praise_and_blame() -> None:
    for good, bad in POLAR.values():
        assert not set(good.split()) & set(bad.split())


def test_no_sentence_occurs_twice_and_half_of_them_are_positive() -> None:
    texts = read(sentences=800)
    assert len({text.tokens for text in texts}) == 800
    assert sum(text.label == "positive" for text in texts) == 400
    assert read(sentences=800) == texts
    assert read(sentences=800, data_seed=1) != texts


def test_the_opposite_opinion_has_the_opposite_words() -> None:
    swapped = {}
    for good, bad in POLAR.values():
        swapped |= dict(zip(good.split(), bad.split(), strict=True)) | dict(zip(bad.split(), good.split(), strict=True))
    for seed in range(200):
        praise, blame = (generate("opinion", positive, random.Random(seed)) for positive in (True, False))
        assert blame == [swapped.get(word, word) for word in praise]


def counts(data: Opinions, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """How often each word stands in each text, and the labels."""
    batch = data.parts[part]
    assert isinstance(data.spec.input, Tokens)
    table = torch.zeros(batch.size, len(data.spec.input.vocabulary))
    table.scatter_add_(1, batch.inputs, torch.ones(batch.inputs.shape))  # type: ignore[union-attr]
    return table[:, 1:].numpy(), batch.targets.numpy()  # type: ignore[union-attr]


def test_an_lstm_reads_what_counted_words_do_not_tell(
    data: Opinions, quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    assert data.spec.target == Classes(LABELS)
    baseline = LogisticRegression(max_iter=1000).fit(*counts(data, "train")).score(*counts(data, "test"))
    torch.manual_seed(0)
    model = LSTM(data.spec, embedding_size=32, hidden_size=32)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.01)
    trainer = quiet_trainer(max_epochs=5)
    trainer.fit(model, data)
    (result,) = trainer.test(model, data, verbose=False)
    record_figure(
        f"opinions, LSTM, 5 epochs: {result['test/accuracy']:.4f}; logistic regression of counted words: {baseline:.4f}"
    )
    assert baseline < 0.65
    assert result["test/accuracy"] > baseline + 0.25


def test_a_number_under_two_is_refused() -> None:
    with pytest.raises(InputError, match="sentences must be at least 2, not 1"):
        Opinions(sentences=1)
