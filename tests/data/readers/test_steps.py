"""CSV columns as equally spaced time steps, and error messages with lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from primer.data.readers.steps import read_steps
from primer.errors import InputError


def steps(folder: Path, text: str, *columns: str, time: str | None = None, interpolate: bool = False) -> list[float]:
    file = folder / "some.csv"
    file.write_text(text)
    values, line = read_steps(file, list(columns or ("x",)), time, interpolate=interpolate)
    assert line <= len(text.splitlines())
    return np.round(values, 6).squeeze(1).tolist() if values.shape[1] == 1 else values.tolist()


def test_columns_are_in_the_requested_order(tmp_path: Path) -> None:
    assert steps(tmp_path, "a,b,c\n1,2,3\n4,5,6\n", "c", "a") == [[3, 1], [6, 4]]


@pytest.mark.parametrize(
    "times",
    [
        ["1700", "1701", "1702", "1703"],
        ["0.5", "1.0", "1.5", "2"],
        ["2001-01", "2001-02", "2001-03", "2001-04"],  # 31, 28 and 31 days.
        ["2000-10-31", "2000-11-30", "2000-12-31", "2001-01-31"],
        ["1999-01-01", "2000-01-01", "2001-01-01", "2002-01-01"],
        ["19991230", "19991231", "20000101", "20000102"],
        ["2001-03-25 00:00", "2001-03-25 01:00", "2001-03-25 02:00", "2001-03-25 03:00"],
        ["2001-01-01T00:00:00Z", "2001-01-01T00:15:00Z", "2001-01-01T00:30:00Z", "2001-01-01T00:45:00Z"],
    ],
)
def test_rows_are_sorted_by_time(times: list[str], tmp_path: Path) -> None:
    rows = [f"{text},{k}" for k, text in enumerate(times)]
    assert steps(tmp_path, "\n".join(["t,x", *rows]), time="t") == [0, 1, 2, 3]
    assert steps(tmp_path, "\n".join(["t,x", *rows[2:], *rows[:2]]), time="t") == [0, 1, 2, 3]
    assert steps(tmp_path, "\n".join(["t,x", *rows[::-1]])) == [3, 2, 1, 0]
    with_gap = "\n".join(["t,x", rows[0], rows[1], rows[3]])
    with pytest.raises(InputError, match=r"some\.csv, line 4: 1 steps are missing between .*interpolate to fill"):
        steps(tmp_path, with_gap, time="t")
    assert steps(tmp_path, with_gap, time="t", interpolate=True) == [0, 1, 2, 3]


def test_gaps_are_interpolated_linearly(tmp_path: Path) -> None:
    text = "t,x,y\n1,2,0\n2,NA,5\n3,6,\n4,8,?\n6,0,20\n"
    assert steps(tmp_path, text, "x", time="t", interpolate=True) == [2, 4, 6, 8, 4, 0]
    assert steps(tmp_path, text, "y", time="t", interpolate=True) == [0, 5, 8.75, 12.5, 16.25, 20]


def test_blank_lines_are_gaps_in_a_file_with_one_column(tmp_path: Path) -> None:
    assert steps(tmp_path, "x\n1\n2\n3\n\n\n") == [1, 2, 3]
    assert steps(tmp_path, "x\n1\n\n3\n", interpolate=True) == [1, 2, 3]
    with pytest.raises(InputError, match="line 3: 'x' is missing"):
        steps(tmp_path, "x\n1\n\n3\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,x\n1,2\n2,\n3,4\n", "line 3: 'x' is missing; set data.missing=interpolate to fill gaps"),
        ("t,x\n1,2\n2,much\n", "line 3: 'x' is 'much', not a number, unlike 1 of 2 cells: correct it, or set "
            "data.na_values=[much] if it means a missing value"),
        ("t,x\n1,2\n2,1e99\n", "line 3: 'x' is '1e99', too large"),
        ("t,x\n1,2\n2,inf\n", "line 3: 'x' is 'inf', too large"),
        ("t,x\n1,2\n2,3\n2,4\n3,5\n", "line 4: the time '2' occurs twice"),
        ("t,x\n1,2\n1,3\n", "line 3: the time '1' occurs twice"),
        ("t,x\n1,2\n2,3\n3,3\n4.4,4\n", "line 5: the time between '3' and '4.4' is not a multiple of the usual step"),
        ("t,x\n1,2\n2,3\n3,3\n3.5,4\n", "line 5: the time between '3' and '3.5' is not a multiple"),
        ("t,x\n1,2\n2,3\n3,3\n6,4\n", "line 5: 2 steps are missing between '3' and '6'"),
        ("t,x\n1,2\nsoon,3\n", "line 3: the time 'soon' is neither a number nor a date such as 2001-12-31"),
        ("t,x\n1,2\n,3\n", "line 3: the time '' is neither a number"),
        ("t,x\n1,2\ninf,3\n", "line 3: the time 'inf' is neither a number"),
        ("t,x\n2001-02-28,2\n2001-02-30,3\n", "line 3: the time '2001-02-30'"),
        ("t,x\n1,2,3\n", "line 2: 3 cells, but the header names 2 columns"),
        ("t,x\n", "line 2: there are no rows after the column names"),
        ("t,y\n1,2\n", "some.csv does not have a column 'x'; valid: t, y"),
        ("u,x\n1,2\n", "some.csv does not have a column 't'"),
    ],
)  # fmt: skip
def test_malformed_files_are_reported_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        steps(tmp_path, text, time="t")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,x\n1,\n2,2\n3,3\n", "line 2: 'x' is missing and there are no values on both sides"),
        ("t,x\n1,1\n2,2\n3,\n", "line 4: 'x' is missing and there are no values on both sides"),
        ("t,x\n1,\n2,\n", "line 2: 'x' is missing and there are no values"),
        ("t,x\n1,1\n2,2\n3,3\n1000,4\n", "line 5: more steps are missing than present, the last of them between "
            "'3' and '1000'; check that time, and that data.time is the column of times"),
        ("t,x\n1,1\n2,2\n3,3\n1e15,4\n", "line 5: more steps are missing than present"),
        ("t,x\n1,1\n2,2\n3,3\n-1e300,4\n", "line 2: more steps are missing than present, the last of them between "
            "'-1e300' and '1'"),
        ("t,x\n1,1\n2,2\n-1e308,3\n1e308,4\n3,5\n", "line 2: more steps are missing than present"),
        ("t,x\n1e308,1\n-1e308,2\n", "line 2: the time between '-1e308' and '1e308' is not a multiple"),
        ("t,x\n1970-01-01,1\n1970-01-02,2\n1970-01-03,3\n9999-12-31,4\n", "line 5: more steps are missing"),
        ("t,x\n1,1\n2,2\n3,3\n4.5,4\n", "line 5: the time between '3' and '4.5' is not a multiple"),
    ],
)  # fmt: skip
def test_gaps_that_cannot_be_interpolated_are_reported(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        steps(tmp_path, text, time="t", interpolate=True)
    assert message in str(error.value)


def test_large_values_with_small_differences_are_kept(tmp_path: Path) -> None:
    assert steps(tmp_path, "x\n" + "".join(f"{1_700_000_000_000 + k}\n" for k in range(9)))[-1] == 1_700_000_000_008
    assert steps(tmp_path, "x\n" + "1e9\n" * 9) == [1e9] * 9


@pytest.mark.parametrize("numbers", [[1e17 + 16 * (k % 2) for k in range(9)], [10**18 + k for k in range(9)]])
def test_values_that_double_precision_cannot_distinguish_are_rejected(numbers: list[float], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"some\.csv: 'x' has values of 1e\+1. that differ by less than double precis"):
        steps(tmp_path, "x\n" + "".join(f"{number:.0f}\n" if number < 2e17 else f"{number}\n" for number in numbers))
