"""Dates in many notations, and the base class of sequence pairs."""

from __future__ import annotations

import random
import re
from datetime import date
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.text.dates import MONTHS, NAMED, NUMERIC, WEEKDAYS, Dates, format_date
from primer.data.text.pairs import Pairs
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, UNKNOWN, Sequence, Tokens

SAMPLES = 2000


def parse_date(text: str) -> str:
    """Parses a date by the documented rules, independently of how it was generated."""
    words = [word[:3] for word in re.findall("[a-z]+", text.lower())]
    months = [number for number, name in enumerate(MONTHS, 1) if name[:3].lower() in words]
    numbers = re.findall("[0-9]+", text)
    if len(numbers[0]) == 4:
        year, *rest = numbers
        month, day = (months[0], rest[0]) if months else rest
    else:
        *rest, year = numbers
        day, month = (rest[0], months[0]) if months else rest
    century = 0 if len(year) == 4 else 1900 if int(year) >= 50 else 2000
    parsed = date(century + int(year), int(month), int(day))
    for number, name in enumerate(WEEKDAYS):
        assert name[:3].lower() not in words or parsed.weekday() == number, text
    return parsed.isoformat()


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("3 May 1979", "1979-05-03"),
        ("saturday, 09 nov. 2019", "2019-11-09"),
        ("10/11/19", "2019-11-10"),
        ("10-11-50", "1950-11-10"),
        ("May the 3rd, '79", "1979-05-03"),
        ("2019.11.10", "2019-11-10"),
        ("MON 2049, Mar 1st", "2049-03-01"),
    ],
)
def test_parser_follows_the_documented_rules(text: str, iso: str) -> None:
    assert parse_date(text) == iso


def test_every_date_can_be_parsed_back() -> None:
    pairs: Any = Dates(samples=20_000).read()["train"]
    mismatches = [(text, iso, parse_date(text)) for text, iso in pairs if parse_date(text) != iso]
    assert mismatches == []


def test_every_notation_occurs() -> None:
    generator = random.Random(0)
    texts = {format_date(date(1983, 11, 5), generator) for _ in range(40_000)}
    plain = {"day": "5", "ordinal": "5th", "full_year": "1983", "year": "1983"}
    for pattern in NAMED:
        assert pattern.format(month="November", **plain) in texts
    for pattern in NUMERIC:
        assert pattern.format(month="11", **plain) in texts
    assert {"05/11/83", "SAT. 5 NOV '83", "saturday, 5.11.1983"} <= texts


@pytest.mark.parametrize(
    ("day", "ordinal"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (21, "21st"),
        (31, "31st"),
    ],
)
def test_ordinals(day: int, ordinal: str) -> None:
    generator = random.Random(0)
    texts = {format_date(date(2001, 1, day), generator) for _ in range(1000)}
    assert f"the {ordinal} of January 2001" in texts


def test_no_source_occurs_in_two_parts() -> None:
    data = Dates(samples=SAMPLES).prepare()
    parts = [sources(data, part) for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1400, 200, 400]
    assert len(set().union(*parts)) == SAMPLES


def test_data_seed_determines_the_dates() -> None:
    first, again, other = (Dates(samples=50, data_seed=seed).read() for seed in (1, 1, 2))
    assert first == again
    assert not set(first["train"]) & set(other["train"])


@pytest.mark.parametrize("samples", [0, 9, 1_000_001])
def test_invalid_numbers_of_samples_are_rejected(samples: int) -> None:
    with pytest.raises(InputError, match=f"samples must be from 10 to 1,000,000, not {samples}"):
        Dates(samples=samples)


class Words(Pairs):
    """Pairs of words whose test part has tokens that are not in the training part."""

    train = (("ab", "xy"), ("b", "y"), ("aab", "xxy"))
    test = (("acb", "xzy"),)

    def read(self) -> dict[Part, Records]:
        return {"train": list(self.train), "val": [], "test": list(self.test)}


def test_vocabularies_are_built_from_the_training_part() -> None:
    data = Words().prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "a", "b"), tokenizer="characters")
    assert data.spec.target == Sequence(("<pad>", "<unk>", "<start>", "<end>", "x", "y"), start=2, end=3)
    test = data.parts["test"]
    assert test.inputs.tolist() == [[2, UNKNOWN, 3]]
    assert test.targets is not None
    assert test.targets.tolist() == [[4, UNKNOWN, 5, 3]]


def test_pairs_are_padded_and_targets_end_with_the_end_token() -> None:
    train = Words().prepare().parts["train"]
    assert train.inputs.tolist() == [[2, 3, PADDING], [3, PADDING, PADDING], [2, 2, 3]]
    assert train.targets is not None
    assert train.targets.tolist() == [[4, 5, 3, IGNORE], [5, 3, IGNORE, IGNORE], [4, 4, 5, 3]]
    assert train.lengths is not None
    assert train.lengths.tolist() == [2, 1, 3]
    assert train.inputs.dtype == train.targets.dtype == train.lengths.dtype == torch.int64


def test_an_empty_part_has_no_samples() -> None:
    data = Words().prepare()
    assert data.parts["val"].size == 0
    assert data.val_dataloader() == []


def test_empty_sources_are_rejected() -> None:
    data: Any = Words()
    data.test = (("", "x"), ("a", "x"))
    with pytest.raises(InputError, match="1 of 2 sources are empty"):
        data.prepare()


def sources(data: Any, part: Part) -> set[str]:
    """Returns the source strings of a part, decoded from its tensors."""
    batch: Batch = data.parts[part]
    assert batch.lengths is not None
    words = data.spec.input.vocabulary
    rows = zip(batch.inputs.tolist(), batch.lengths.tolist(), strict=True)
    return {"".join(words[index] for index in row[:length]) for row, length in rows}
