"""Columns of numbers, and cells that are almost numbers."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from primer.data.readers.cells import CellFormat
from primer.data.readers.columns import (
    FORMATS,
    TextColumn,
    identifies_rows,
    quote_list,
    to_numbers,
)
from primer.errors import InputError


def column(*cells: str, name: str = "x") -> TextColumn:
    return TextColumn(Path("t.csv"), name, list(cells), list(range(2, len(cells) + 2)))


def refusal(*cells: str, format: CellFormat | None = None, text_setting: str = "data.categorical=[x]") -> str:
    with pytest.raises(InputError) as error:
        to_numbers(column(*cells), format or CellFormat(), text_setting)
    return str(error.value)


def overrides(text: str) -> dict[str, object]:
    """Parses overrides as typed in a shell."""
    parsed = OverridesParser.create().parse_overrides(shlex.split(text))
    return {override.key_or_group: override.value() for override in parsed}


def test_numbers_and_texts() -> None:
    assert np.array_equal(to_numbers(column("1", "", "-2.5"), CellFormat()), [1, np.nan, -2.5], equal_nan=True)  # type: ignore[arg-type]
    for cells in (["red", "blue"], ["", ""], ["2001-01-31", "2001-02-28"], ["1.2.3", "1.2.4"], ["1st", "2nd"]):
        assert to_numbers(column(*cells), CellFormat(), "data.categorical=[x]") is None


@pytest.mark.parametrize("cell", ["-", "unknown", "12 kg", ".", "#VALUE!", "hot"])
def test_one_text_among_numbers_is_reported_with_its_line(cell: str) -> None:
    message = refusal("1", "2", cell, "4")
    assert message.startswith(f"t.csv, line 4: 'x' is '{cell}', not a number, unlike 3 of 4 cells: correct it, or set ")
    assert message.endswith(", or set data.categorical=[x] to keep the column as text")
    setting = message.partition("set ")[2].partition(" if it means")[0]
    assert overrides(setting) == {"data.na_values": [cell]}


def test_one_number_among_texts_is_reported() -> None:
    message = refusal("red", "7", "blue", "green", "gray")
    assert message.startswith(
        "t.csv, line 2: 'x' is 'red', not a number, unlike 1 of 5 cells: correct it, or set data.c"
    )


def test_a_line_of_units_can_be_left_out() -> None:
    assert "set data.skip_rows=[2] to leave out the line" in refusal("kg", "1", "2")


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        (["0,255", "1,511"], ["\"data.decimal=','\""]),
        (["1,5", "7"], ["\"data.decimal=','\""]),
        (["1,511", "2,683"], ["\"data.decimal=','\"", "\"data.thousands=','\""]),
        (["8,267,168", "12"], ["\"data.thousands=','\""]),
        (["1.234,5", "2"], ["\"data.decimal=','\" data.thousands=."]),
        (["1 234", "2"], ["\"data.thousands=' '\""]),
        (["1'234.5", "2"], ['"data.thousands=\\"\'\\""']),
        (["1_234", "2"], ["data.thousands=_"]),
    ],
)
def test_other_formats_of_numbers_are_recognized(cells: list[str], settings: list[str]) -> None:
    message = refusal(*cells)
    assert f": set {' or '.join(settings)} to read it, or set data.categorical" in message
    assert "data.decimal=. to read it" in refusal("1.5", "7", format=CellFormat(","))


@pytest.mark.parametrize("cells", [["12%", "7%"], ["$12.50", "$7"], ["5 €", "6 €"], ["12%", "7"]])
def test_numbers_with_signs_are_reported(cells: list[str]) -> None:
    assert "remove the signs beside the numbers" in refusal(*cells)


@pytest.mark.parametrize("setting", [setting for group in FORMATS for setting in group])
def test_suggested_settings_can_be_typed(setting: str) -> None:
    expected = next(group[setting] for group in FORMATS if setting in group)
    values = {key.removeprefix("data."): str(value) for key, value in overrides(setting).items()}
    assert values == {
        key: value
        for key, value in (("decimal", expected.decimal), ("thousands", expected.thousands))
        if value and (value != "." or key in values)
    }


@pytest.mark.parametrize("text", ["-", "12 kg", "it's", 'a "b"', "a,b", "#N/A", "$x", "`x`", "ü", "true", "null", "7"])
def test_quoted_lists_are_read_as_the_same_strings(text: str) -> None:
    assert overrides(f"data.ignore={quote_list([text, 'other'])}") == {"data.ignore": [text, "other"]}


def test_a_numeric_column_must_not_hold_texts() -> None:
    assert "'x' is 'red', not a number: correct it, or set data.na_values" in refusal("red", "red", text_setting="")


def test_numbers_that_cannot_be_represented_are_rejected() -> None:
    assert refusal("1", "1e999") == "t.csv, line 3: 'x' is '1e999', too large for single precision"
    for cells in (["10000000000000000001", "10000000000000000002"], ["1", "9007199254740993", "9007199254740992"]):
        assert "differ by less than double precision can represent" in refusal(*cells)
    assert to_numbers(column("9007199254740993", "1", "1.0"), CellFormat()) is not None


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("x", range(30), True),
        ("x", reversed(range(1, 31)), True),
        ("PassengerId", range(0, 300, 10), True),
        ("row_id", range(0, 300, 10), True),
        ("paid", range(0, 300, 10), False),
        ("x", range(0, 300, 10), False),
        ("id", [k % 10 for k in range(30)], False),
        ("id", [k / 2 for k in range(30)], False),
        ("id", range(10), False),
    ],
)
def test_columns_that_identify_rows(name: str, values: list[float], expected: bool) -> None:
    numbers = np.array(list(values), dtype=np.float64)
    assert identifies_rows(column(name=name), numbers) == expected
