"""Dates in human-written notations, paired with their ISO form."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from primer.data.base import Part, Records
from primer.data.text.pairs import Pairs
from primer.errors import InputError

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

FIRST, LAST = date(1950, 1, 1), date(2049, 12, 31)
"""One century, so that two-digit years are unambiguous: 50 is 1950 and 49 is 2049."""

NAMED = (
    "{day} {month} {year}",
    "{day} {month}, {year}",
    "{day}-{month}-{year}",
    "{ordinal} of {month}, {year}",
    "the {ordinal} of {month} {year}",
    "{month} {day} {year}",
    "{month} {day}, {year}",
    "{month} the {ordinal}, {year}",
    "{full_year} {month} {day}",
    "{full_year}, {month} {day}",
)
"""Patterns with the name of the month."""

NUMERIC = (
    "{day}/{month}/{year}",
    "{day}.{month}.{year}",
    "{day}-{month}-{year}",
    "{day} {month} {year}",
    "{full_year}/{month}/{day}",
    "{full_year}.{month}.{day}",
    "{full_year}-{month}-{day}",
)
"""Patterns with numbers only."""

LARGEST = 1_000_000


class Dates(Pairs):
    """Dates from 1950 to 2049, from many notations to ``YYYY-MM-DD``, as characters: ``3 May 1979``, ``saturday, 09
    nov. 2019``, ``10/11/19``, ``May the 3rd, '79``.

    Every notation is unambiguous. A date that starts with four digits has the order year, month, day. Otherwise, the
    day comes before the year and before a numeric month: 10/11/19 is November 10. Two-digit years from 50 belong to the
    20th century, those up to 49 to the 21st. A weekday always matches the date.

    Source strings are unique, so no source occurs in two parts.

    Args:
        samples: number of dates.
        data_seed: seed of the dates and their notations.
        **kwargs: see ``primer.data.base.DataModule``.

    Raises:
        InputError: if ``samples`` is less than 10 or more than a million.
    """

    def __init__(self, samples: int = 10_000, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 10 <= samples <= LARGEST:
            raise InputError(f"samples must be from 10 to {LARGEST:,}, not {samples}")
        self.samples, self.data_seed = samples, data_seed

    def read(self) -> dict[Part, Records]:
        generator = random.Random(self.data_seed)
        pairs: dict[str, str] = {}
        while len(pairs) < self.samples:
            day = FIRST + timedelta(days=generator.randrange((LAST - FIRST).days + 1))
            pairs[format_date(day, generator)] = day.isoformat()
        return {"train": list(pairs.items())}


def format_date(day: date, generator: random.Random) -> str:
    """Writes a date in a random notation."""
    choice = generator.choice
    digits = choice(("{}", "{:02}"))
    ordinal, full_year = f"{day.day}{ordinal_suffix(day.day)}", str(day.year)
    parts = {"full_year": full_year, "ordinal": ordinal}
    if generator.random() < 0.6:
        pattern = choice(NAMED)
        parts["day"] = choice((digits.format(day.day), ordinal))
        parts["month"] = maybe_abbreviate(MONTHS[day.month - 1], generator)
        parts["year"] = choice((full_year, full_year[2:], "'" + full_year[2:]))
    else:
        pattern = choice(NUMERIC)
        parts["day"], parts["month"] = digits.format(day.day), digits.format(day.month)
        parts["year"] = choice((full_year, full_year[2:]))
    text = pattern.format(**parts)
    if generator.random() < 0.3:
        text = maybe_abbreviate(WEEKDAYS[day.weekday()], generator) + choice((" ", ", ")) + text
    return choice((str, str.lower, str.upper))(text)


def maybe_abbreviate(name: str, generator: random.Random) -> str:
    """Returns a name in full, or its first three letters with or without a period."""
    return generator.choice((name, name[:3], name[:3] + "." if len(name) > 3 else name))


def ordinal_suffix(number: int) -> str:
    """Returns the suffix of an ordinal number: st, nd, rd or th."""
    return "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
