"""Numbers as people write them, markers of missing values, and names of categories."""

from __future__ import annotations

from typing import Any

import pytest

from primer.data.readers.cells import CellFormat, category_names
from primer.errors import InputError


@pytest.mark.parametrize(
    ("settings", "cell", "number"),
    [
        ({}, "1.5", 1.5),
        ({}, "-2e3", -2000),
        ({}, "\u22125", -5),  # A minus sign rather than a hyphen.
        ({}, "1,5", None),
        ({}, "1_000", None),
        ({}, "12 kg", None),
        ({}, ".", None),
        ({}, "-", None),
        ({}, "nan", None),
        ({"decimal": ","}, "1,5", 1.5),
        ({"decimal": ","}, "7", 7),
        ({"decimal": ","}, "1.5", None),
        ({"decimal": ","}, "1,5,0", None),
        ({"thousands": ","}, "1,234,567.5", 1234567.5),
        ({"thousands": ","}, "-12,345", -12345),
        ({"thousands": ","}, "12,34,567", 1234567),  # As in India.
        ({"thousands": ","}, "1234567", 1234567),
        ({"thousands": ","}, "1,2", None),
        ({"thousands": ","}, "1,2345", None),
        ({"thousands": ","}, "0,255", None),
        ({"decimal": ",", "thousands": "."}, "1.234.567,5", 1234567.5),
        ({"decimal": ",", "thousands": "."}, "1.5", None),
        ({"decimal": ",", "thousands": " "}, "1 234,5", 1234.5),
        ({"thousands": " "}, "1\u202f234\u00a0567", 1234567),
        ({"thousands": "'"}, "1'234'567.25", 1234567.25),
    ],
)
def test_numbers(settings: dict[str, Any], cell: str, number: float | None) -> None:
    assert CellFormat(**settings).number(cell) == number


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "#N/A", "NaN", "nan", "-nan", "<NA>", "NULL", "None", "?"])
def test_default_markers_of_missing_values(cell: str) -> None:
    assert CellFormat().is_missing(cell)
    assert CellFormat(keep_default_na=False).is_missing(cell) == (cell == "")


def test_further_markers_of_missing_values() -> None:
    cells = CellFormat(na_values=["unknown", -999])
    assert [cells.is_missing(cell) for cell in ("unknown", "-999", "-999.0", "NA", "Unknown", "none", "-99", "0")] == [
        True, True, True, True, False, False, False, False,
    ]  # fmt: skip
    assert CellFormat(na_values="-").is_missing("-")
    assert CellFormat(decimal=",", na_values=["-9,5"]).is_missing("-9,50")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decimal": "x"}, "decimal must be a point or a comma, not 'x'"),
        ({"thousands": "x"}, "thousands must be one of "),
        ({"thousands": "."}, "with decimal='.', not '.'"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        CellFormat(**settings)
    assert message in str(error.value)


def test_category_names() -> None:
    assert category_names(["1", "10", "2.0", "0.0", "1.0", "0"]) == {
        "0.0": "0", "0": "0", "1": "1", "1.0": "1", "2.0": "2", "10": "10"
    }  # fmt: skip
    assert list(category_names(["10", "9.0", ""]).values()) == ["", "9", "10"]
    assert list(category_names(["b", "a", "1.0"]).values()) == ["1", "a", "b"]
    codes = ["4.1", "4.10", "007", "7"]
    assert set(category_names(codes).values()) == set(codes)
