"""Synthetic opinions, and a bag-of-words baseline."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from primer.data.text.opinions import GRAMMAR, LABELS, NEUTRAL, POLAR, Opinions, expand
from primer.data.text.text_classification import LabeledText
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import Classes, Tokens


def read(**settings: Any) -> list[LabeledText]:
    return Opinions(**settings).read()["train"]  # type: ignore[return-value]


@pytest.fixture(scope="module")
def data() -> Opinions:
    return Opinions().prepare()


def test_every_grammar_symbol_is_defined_and_used() -> None:
    used, defined = {"opinion"}, GRAMMAR.keys() | POLAR.keys() | NEUTRAL.keys()
    for rules in GRAMMAR.values():
        for rule in rules:
            weight, *items = rule.split()
            assert int(weight) > 0
            used |= {item.rstrip("+-") for item in items} & defined
            assert all(item[-1] in "+-" for item in items if item.rstrip("+-") in GRAMMAR | POLAR)
            assert not any(item[-1] in "+-" for item in items if item.rstrip("+-") not in GRAMMAR | POLAR)
    assert used == defined


def test_no_word_is_both_positive_and_negative() -> None:
    for good, bad in POLAR.values():
        assert not set(good.split()) & set(bad.split())


def test_sentences_are_unique_and_half_are_positive() -> None:
    texts = read(sentences=800)
    assert len({text.tokens for text in texts}) == 800
    assert sum(text.label == "positive" for text in texts) == 400
    assert read(sentences=800) == texts
    assert read(sentences=800, data_seed=1) != texts


def test_opposite_classes_have_opposite_words() -> None:
    swapped = {}
    for good, bad in POLAR.values():
        swapped |= dict(zip(good.split(), bad.split(), strict=True)) | dict(zip(bad.split(), good.split(), strict=True))
    for seed in range(200):
        praise, criticism = (expand("opinion", positive, random.Random(seed)) for positive in (True, False))
        assert criticism == [swapped.get(word, word) for word in praise]


def counts(data: Opinions, part: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the word counts of each text, and the labels."""
    batch = data.parts[part]
    assert isinstance(data.spec.input, Tokens)
    table = torch.zeros(batch.size, len(data.spec.input.vocabulary))
    table.scatter_add_(1, batch.inputs, torch.ones(batch.inputs.shape))  # type: ignore[union-attr]
    return table[:, 1:].numpy(), batch.targets.numpy()  # type: ignore[union-attr]


def test_lstm_beats_bag_of_words_baseline(
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
        f"opinions, LSTM, 5 epochs: {result['test/accuracy']:.4f}; logistic regression on word counts: {baseline:.4f}"
    )
    assert baseline < 0.65
    assert result["test/accuracy"] > baseline + 0.25


def test_fewer_than_two_sentences_are_rejected() -> None:
    with pytest.raises(InputError, match="sentences must be at least 2, not 1"):
        Opinions(sentences=1)
