"""Tables with large, nearly numeric and missing cells, as people have them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.cli.checks import check_command
from primer.data.tables.csv_table import CSVTable
from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.spec import Classes, Values, Vector

Read = Callable[..., CSVTable]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A function that writes a table and prepares the data set."""

    def make(text: str, **settings: Any) -> CSVTable:
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return CSVTable(tmp_path / "t.csv", **{"target": "y", **settings}).prepare()

    return make


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def rows(data: CSVTable) -> torch.Tensor:
    return torch.cat([part.inputs for part in data.parts.values()])  # type: ignore[union-attr]


def test_the_settings_are_overrides() -> None:
    formats = ["data.decimal=','", "data.thousands=.", "data.na_values=[-,unknown,-999]", "data.keep_default_na=false"]
    check_command("train", ["data=csv", "data.path=t.csv", "data.target=y", "data.categorical=[x]", *formats])
    check_command("train", ["data=csv", "data.path=t.csv", "data.skip_rows=2", "data.na_values=['12 kg',.]"])
    check_command("train", ["data=csv", "data.path=t.csv", "data.skip_rows=[1,3]", "data.thousands=' '"])


# Large values.


def fit(data: CSVTable, quiet_trainer: Callable[..., Any]) -> dict[str, float]:
    torch.manual_seed(0)
    model = MLP(data.spec, hidden_sizes=(8,))
    model.optimizer = partial(torch.optim.Adam, lr=0.05)
    trainer = quiet_trainer(max_epochs=3)
    trainer.fit(model, datamodule=data)
    return trainer.test(model, datamodule=data, verbose=False)[0]


@pytest.mark.parametrize("offset", [1_700_000_000_000, -1_700_000_000_000, 2_000_000])
def test_an_offset_changes_no_figure(read: Read, quiet_trainer: Callable[..., Any], offset: int) -> None:
    """Times in milliseconds since 1970, as inputs and as targets, of regression and of classification."""
    values = [(k * 37) % 101 for k in range(101)]
    for make in (lambda x: 2 * x + 3, lambda x: "late" if x > 50 else "early"):
        text = "x,y\n" + "".join(f"{x},{make(x)}\n" for x in values)
        shifted = "x,y\n" + "".join(
            f"{x + offset},{y if isinstance(y := make(x), str) else y + offset}\n" for x in values
        )
        expected = fit(read(text), quiet_trainer)
        assert fit(read(shifted), quiet_trainer) == pytest.approx(expected, rel=1e-3), shifted[:40]
        assert expected.get("test/r2", expected.get("test/accuracy", 0)) > 0.3


def test_the_spec_keeps_mean_and_offset_in_double_precision(read: Read) -> None:
    data = read("x,same,y\n" + "".join(f"{1e12 + k},1e9,{1e12 + 2 * k}\n" for k in range(40)))
    spec = data.spec
    assert isinstance(spec.input, Vector)
    assert isinstance(spec.target, Values)
    assert spec.input.mean == pytest.approx((1e12 + 19.5, 1e9), abs=6)
    assert spec.input.std == pytest.approx((11.5, 1), abs=3)
    assert spec.input.offset == spec.input.mean
    assert spec.target.offset == spec.target.mean
    train = data.parts["train"]
    restored = train.inputs.double() + torch.tensor(spec.input.offset, dtype=torch.float64)  # type: ignore[union-attr]
    assert set(restored[:, 0].round().tolist()) < {1e12 + k for k in range(40)}
    assert train.targets.abs().max() < 80  # type: ignore[union-attr]


def test_moderate_values_have_no_offset(read: Read) -> None:
    data = read("x,y\n" + "".join(f"{90 + k},{1000 + 15 * k}\n" for k in range(40)))
    assert isinstance(data.spec.input, Vector)
    assert isinstance(data.spec.target, Values)
    assert data.spec.input.offset == data.spec.target.offset == ()


# Cells that are almost numbers.

DECIMAL = "x;y\n" + "".join(f"0,{100 + 9 * k};{1 + k % 3},{k:03}\n" for k in range(60))
THOUSANDS = "x,y\n" + "".join(f'"{1 + k},{(k * 37) % 1000:03},{k:03}",{k / 7}\n' for k in range(60))


def test_decimal_commas(read: Read) -> None:
    message = refusal(lambda: read(DECIMAL, delimiter=";"))
    assert "line 2: 'y' is '1,000', not a number: set \"data.decimal=','\" or \"data.thousands=','\" to read" in message
    assert "line 2: 'x' is '0,100', not a number: set \"data.decimal=','\" to read it, or set data.categorical" in (
        refusal(lambda: read(DECIMAL, delimiter=";", decimal=".", target="y", task="classification"))
    )
    data = read(DECIMAL, delimiter=";", decimal=",")
    assert sorted(rows(data)[:, 0].tolist()) == pytest.approx(sorted(float(f"0.{100 + 9 * k}") for k in range(60)))
    assert isinstance(data.spec.target, Values)


def test_separators_of_thousands(read: Read) -> None:
    assert "line 2: 'x' is '1,000,000', not a number: set \"data.thousands=','\" to read it" in (
        refusal(lambda: read(THOUSANDS))
    )
    data = read(THOUSANDS, thousands=",")
    assert isinstance(data.spec.input, Vector)
    assert data.spec.input.names == ("x",)
    assert rows(data).min() == 1_000_000


@pytest.mark.parametrize("cell", ["-", "unknown", "12 kg", ".", "#DIV/0!"])
@pytest.mark.parametrize("target", ["x", "y"])
def test_a_text_among_numbers_is_reported_and_can_be_a_missing_value(read: Read, cell: str, target: str) -> None:
    """The rule is the same for an input and a target."""
    text = "x,y\n" + "".join(f"{k / 7 if k != 50 else cell},{k / 5 % 3:.1f}\n" for k in range(100))
    assert f"t.csv, line 52: 'x' is '{cell}', not a number, unlike 99 of 100 cells: correct it, or set data.na_val" in (
        refusal(lambda: read(text, target=target))
    )
    assert "line 52: 'x' is missing; values are missing in 1 of 100 rows" in (
        refusal(lambda: read(text, target=target, na_values=[cell]))
    )
    data = read(text, target=target, na_values=[cell], missing="drop")
    assert len(rows(data)) == 99
    assert isinstance(data.spec.input, Vector)
    assert data.spec.input.features == 1


@pytest.mark.parametrize("target", ["x", "y"])
@pytest.mark.parametrize("cell", ["None", "nan", "-nan", "#N/A", "<NA>", ""])
def test_markers_of_missing_values_need_no_setting(read: Read, cell: str, target: str) -> None:
    text = "x,y\n" + "".join(f"{k / 7 if k != 50 else cell},{k / 5 % 3:.1f}\n" for k in range(100))
    assert "line 52: 'x' is missing; values are missing in 1 of 100 rows: set data.missing=drop to drop them" in (
        refusal(lambda: read(text, target=target))
    )
    assert len(rows(read(text, missing="impute"))) == 100


def test_default_markers_can_be_categories(read: Read) -> None:
    text = "x,y\n" + "".join(f"{('None', 'Brick', '-')[k % 3]},{k % 2}\n" for k in range(60))
    assert "line 2: 'x' is missing; values are missing in 20 of 60 rows" in refusal(lambda: read(text))
    assert read(text, keep_default_na=False).spec.input.names == ("x=-", "x=Brick", "x=None")  # type: ignore[union-attr]


def test_one_class_has_several_spellings(read: Read) -> None:
    labels = ("0", "1", "0.0", "1.0", "1.", "0.00")
    text = "x,y\n" + "".join(f"{k / 7},{labels[k % 6]}\n" for k in range(60))
    for settings in ({}, {"task": "classification"}):
        data = read(text, **settings)
        assert data.spec.target == Classes(("0", "1"))
        assert sum(int(part.targets.sum()) for part in data.parts.values()) == 30  # type: ignore[union-attr]


def test_numbers_can_be_categories(read: Read) -> None:
    text = "zip,x,y\n" + "".join(f"{(10115, '10115.0', 20095)[k % 3]},{k / 7},{k % 2}\n" for k in range(60))
    data = read(text, categorical=["zip"])
    assert data.spec.input.names == ("zip=10115", "zip=20095", "x")  # type: ignore[union-attr]
    assert rows(data)[:, 0].sum() == 40
    mixed = text.replace("20095", "unknown")
    assert "data.categorical=[zip] to keep the column as text" in refusal(lambda: read(mixed))
    assert read(mixed, categorical=["zip"]).spec.input.names == ("zip=10115", "zip=unknown", "x")  # type: ignore[union-attr]
    assert "data.categorical: " in refusal(lambda: read(text, categorical=["zipp"]))


# Other lines and columns.


def test_lines_can_be_skipped(read: Read) -> None:
    body = "".join(f"{k / 7},{k % 2}\n" for k in range(30))
    assert "data.skip_rows leaves out lines before the column names" in refusal(lambda: read(f"Title\n\nx,y\n{body}"))
    assert "data.skip_rows=[2] to leave out the line" in refusal(lambda: read(f"x,y\nkg,0\n{body}"))
    for text, skip_rows in (
        (f'Made in "2020\n\nx,y\n{body}', 1),
        (f"One, two, three\nfour\nx,y\n{body}", 2),
        (f"x,y\nkg,class\n{body}", [2]),
        (f"# about\r\nx,y\r\nkg,class\r\n{body}", [1, 3]),
    ):
        data = read(text, skip_rows=skip_rows)
        assert len(rows(data)) == 30
        assert data.spec.target == Classes(("0", "1"))
    assert "line 4: 3 cells" in refusal(lambda: read("about\nx,y\n1,0\n1,2,3\n", skip_rows=1))
    for value in (-1, [0]):
        assert "skip_rows must be the number of lines" in refusal(lambda value=value: read("", skip_rows=value))


def test_columns_that_number_the_rows_are_pointed_out(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    text = "id,x,y\n" + "".join(f"{k},{k % 7},{k % 2}\n" for k in range(30))
    read(text)
    assert capsys.readouterr().out == (
        "note: the input 'id' differs in each row: if it only names rows, leave it out with data.ignore=[id]\n"
    )
    read(text, ignore=["id"])
    read(text, columns=["id", "x"])  # The user chose it.
    read(text, columns=["id"])
    assert not capsys.readouterr().out


def test_texts_that_name_the_rows_are_rejected(read: Read) -> None:
    text = "name,x,y\n" + "".join(f"n{k},{k % 7},{k % 2}\n" for k in range(30))
    assert (
        "the column 'name' has 30 distinct texts in 30 rows, too many for categories; leave it out with data.ignore"
        in (refusal(lambda: read(text)))
    )
