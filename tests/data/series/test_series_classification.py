"""Labeled series: files, missing values, lengths and parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primer.batch import Batch
from primer.data.series.labeled_series import LabeledSeriesData, fill
from primer.data.series.series_classification import SeriesClassification
from primer.data.series.waves import Waves
from primer.errors import InputError
from primer.spec import Classes, Series

HEADER = """\
# A comment.
@problemName Steps
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true walk run
@data
"""
LINES = [
    "1,2,3:4,?,6:walk",
    "1,2:?,?:run",
    "5:0.5:walk",
    "?,2,?,4,?:1,1,1,1,1:run",
]


def write(folder: Path, lines: list[str], header: str = HEADER, name: str = "steps.ts") -> Path:
    file = folder / name
    file.write_text(header + "\n".join(lines) + "\n")
    return file


def prepared(path: Path, **settings: Any) -> SeriesClassification:
    return SeriesClassification(path, **settings).prepare()  # type: ignore[return-value]


def part(data: LabeledSeriesData, name: str) -> Batch:
    batch = data.parts[name]  # type: ignore[index]
    assert isinstance(batch, Batch)
    return batch


def test_a_ts_file_is_filled_and_padded(tmp_path: Path) -> None:
    write(tmp_path, LINES[:2] * 3, name="steps_TEST.ts")
    data = prepared(write(tmp_path, LINES, name="steps_TRAIN.ts"), val_fraction=0)
    assert data.sizes() == {"train": 4, "val": 0, "test": 6}
    kind, batch = data.spec.input, part(data, "train")
    assert isinstance(kind, Series)
    assert data.spec.target == Classes(("run", "walk"), counts=(2, 2))
    assert (kind.features, kind.padded, kind.window) == (2, True, 0)
    assert batch.lengths is not None
    assert batch.targets is not None
    assert (batch.lengths.tolist(), batch.targets.tolist()) == ([3, 2, 1, 5], [1, 0, 1, 0])
    # Channel 2 of the second series has no value: it does not count for the mean, and becomes the mean.
    assert kind.mean == pytest.approx((np.mean([1, 2, 3, 1, 2, 5, 2, 2, 3, 4, 4]), np.mean([4, 5, 6, 0.5, *[1] * 5])))
    assert batch.inputs[0, :3].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert batch.inputs[1, :2, 1].tolist() == pytest.approx([kind.mean[1]] * 2)
    assert batch.inputs[3, :, 0].tolist() == [2, 2, 3, 4, 4]
    torch.testing.assert_close(batch.inputs[2, 1:], torch.tensor(kind.mean).expand(4, 2))
    assert batch.inputs.shape == (4, 5, 2)


def test_statistics_and_classes_are_those_of_the_training_part(tmp_path: Path) -> None:
    data = prepared(write(tmp_path, LINES * 10), test_fraction=0.25)
    train, kind = part(data, "train"), data.spec.input
    assert train.lengths is not None
    assert isinstance(kind, Series)
    real = torch.arange(train.inputs.shape[1]) < train.lengths[:, None]
    # Filled with the mean, a channel without values does not change it.
    torch.testing.assert_close(torch.tensor(kind.mean), train.inputs[real].mean(0), atol=1e-5, rtol=1e-5)
    for name in ("train", "val", "test"):
        targets = part(data, name).targets
        assert targets is not None
        assert abs(int(targets.sum()) * 2 - len(targets)) <= 1
    folds = [prepared(write(tmp_path, LINES * 10), folds=4, fold=k).sizes()["test"] for k in range(4)]
    assert folds == [10] * 4


def test_series_of_equal_length_are_not_padded(tmp_path: Path) -> None:
    header = HEADER.replace("equalLength false", "equalLength true\n@seriesLength 2")
    data = prepared(write(tmp_path, ["1,2:3,4:walk", "2,2:3,3:run"] * 4, header), val_fraction=0)
    assert part(data, "train").lengths is None
    assert data.spec.input.padded is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("1,2:walk", "line 11: 1 channels, but 2 expected"),
        ("1,2:3,4:5,6:walk", "line 11: 3 channels, but 2 expected"),
        ("1,2:3,x:walk", "line 11: channel 2, value 2 is 'x', not a number"),
        ("1,2:3,inf:walk", "line 11: channel 2, value 2 is 'inf', too large"),
        ("1,:3,4:walk", r"line 11: channel 1, value 2 is empty: write \?"),
        ("1,2:3:walk", "line 11: channel 2 has 1 values, but channel 1 has 2"),
        ("1,2:3,4:walks", "line 11: the class 'walks' is not one of @classLabel; did you mean walk"),
        ("1,2:3,4", "line 11: the line is cut off, or the class '3,4' is not one of @classLabel"),
        ("1,2:3,4:", "line 11: the line is cut off"),
        ("1", "line 11: the line is cut off"),
    ],
)
def test_a_malformed_line_is_reported(line: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="steps.ts, " + problem):
        prepared(write(tmp_path, [LINES[0], line]))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("@data\n", "", r"line 9: expected a line of the header, such as .*, not '1,2,3:4"),
        ("@dimensions 2", "@dimensions two", "line 6: @dimensions must be a whole number, not 'two'"),
        ("@timeStamps false", "@timeStamps true", "line 3: @timeStamps true: values with time stamps"),
        ("@classLabel true walk run", "@classLabel true", "line 8: @classLabel true must be followed"),
        ("@classLabel true walk run", "@targetlabel true", "line 8: @targetlabel true: the targets are numbers"),
        ("@classLabel true walk run", "@classLabel maybe", "line 8: @classLabel must be true or false, not 'maybe'"),
        ("@classLabel true walk run\n", "@dimensions 3\n", "the header has no classes"),
        ("@equalLength false", "@equalLength true\n@seriesLength 9", "line 11: 3 values per channel, but .* 9"),
    ],
)  # fmt: skip
def test_a_malformed_header_is_reported(old: str, new: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        prepared(write(tmp_path, LINES[:1], HEADER.replace(old, new)))


def test_a_file_without_series_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no series after @data"):
        prepared(write(tmp_path, []))
    with pytest.raises(InputError, match="line 3: the file ends without a line @data"):
        prepared(write(tmp_path, ["@univariate true"], "# Only\n"))
    with pytest.raises(InputError, match="all training series have the class 'run'"):
        prepared(write(tmp_path, ["1:2:run"] * 9))
    with pytest.raises(InputError, match="channel 2 has no values in the training part"):
        prepared(write(tmp_path, ["1:?:run", "2:?:walk"] * 9))


def test_the_test_file_must_fit_the_training_file(tmp_path: Path) -> None:
    train = write(tmp_path, ["1:run", "2:walk"] * 9, HEADER.replace("@dimensions 2\n", ""))
    with pytest.raises(InputError, match=r"test.ts, line 10: 2 channels, but .*steps.ts, line 9 has 1"):
        prepared(train, test=write(tmp_path, LINES, name="test.ts"))
    header = HEADER.replace("@dimensions 2", "@dimensions 1").replace("run", "run jump")
    other = write(tmp_path, ["1:run", "1:jump"], header, name="test.ts")
    with pytest.raises(InputError, match=r"test.ts, line 11: the class 'jump' does not occur in the training part"):
        prepared(train, test=other)


def table(folder: Path, rows: list[str], header: str = "id,t,x,label,y") -> Path:
    file = folder / "steps.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


ROWS = ["a,2,3,up,1", "a,1,2,up,", "b,1,5,down,2", "a,3,,up,3", "b,2,7,down,2"]


def test_rows_of_a_table_are_grouped_and_sorted(tmp_path: Path) -> None:
    rows = [row.replace("a,", f"a{k},", 1).replace("b,", f"b{k},", 1) for k in range(5) for row in ROWS]
    data = prepared(table(tmp_path, rows), time="t", val_fraction=0)
    kind, batch = data.spec.input, part(data, "train")
    assert isinstance(kind, Series)
    assert kind.names == ("x", "y")
    assert isinstance(data.spec.target, Classes)
    assert data.spec.target.names == ("down", "up")
    assert batch.lengths is not None
    assert batch.targets is not None
    first = batch.inputs[int(batch.targets.argmax())]
    assert first.tolist() == [[2, 1], [3, 1], [3, 3]]
    assert sorted(set(batch.lengths.tolist())) == [2, 3]
    assert prepared(table(tmp_path, rows), channels=["y"]).spec.input.names == ("y",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a,2,1,up,1", "line 7: the time '2' occurs twice"),
        ("a,4,1,down,1", "line 7: 'label' is 'down', but 'up' in line 2 of the same series"),
        ("a,4,1,,1", "line 7: 'label' is missing"),
        (",4,1,up,1", "line 7: 'id' is missing"),
        ("a,4,one,up,1", "line 7: 'x' is 'one', not a number"),
        ("a,soon,1,up,1", "line 7: the time 'soon'"),
        ("a,4,1,up", "line 7: 4 cells, but the header names 5 columns"),
    ],
)
def test_a_malformed_row_is_reported(row: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="steps.csv, " + problem):
        prepared(table(tmp_path, [*ROWS, row]), time="t")


def test_a_missing_column_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not have a column 'serie', see data.id"):
        prepared(table(tmp_path, ROWS), id="serie")
    with pytest.raises(InputError, match="has no columns of values"):
        prepared(table(tmp_path, ["a,up", "b,down"], "id,label"))
    with pytest.raises(InputError, match="they must be different columns"):
        SeriesClassification(id="label")


@pytest.mark.parametrize(
    "channels", [["x", "label"], ["id", "x"], ["x", "x"], ["t"]], ids=lambda names: ",".join(names)
)
def test_channels_are_neither_the_class_nor_the_same(channels: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be different columns, none of them the id, label or time"):
        SeriesClassification(path=tmp_path / "x.csv", time="t", channels=channels)


def test_settings_of_tables_are_refused_for_ts_files(tmp_path: Path) -> None:
    file = tmp_path / "x.ts"
    file.write_text("@classLabel true a b\n@data\n1,2,3:a\n2,1,2:b\n")
    with pytest.raises(InputError, match=r"x\.ts is a \.ts file, so time=t, na_values=\[-999\].*has no effect"):
        SeriesClassification(path=file, time="t", na_values=[-999]).prepare()


def test_times_have_the_decimal_of_the_table(tmp_path: Path) -> None:
    rows = [f"{name};{time},5;{time};{'ab'[name % 2]}" for name in range(8) for time in (2, 0, 1)]
    file = tmp_path / "x.csv"
    file.write_text("\n".join(["id;t;x;label", *rows]))
    data = SeriesClassification(path=file, time="t", delimiter=";", decimal=",", val_fraction=0).prepare()
    assert (part(data, "train").inputs.diff(dim=1) > 0).all()


def test_gaps_are_interpolated_within_a_channel() -> None:
    nan = np.nan
    filled = fill(np.array([[nan, nan], [1, nan], [nan, nan], [3, nan]]), np.array([0.0, 9.0]))
    assert filled.tolist() == [[1, 9], [1, 9], [2, 9], [3, 9]]


def test_waves_depend_only_on_their_own_seed() -> None:
    first, same, other = (Waves(samples=60, data_seed=seed).prepare().parts["test"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs, same.inputs)  # type: ignore[union-attr]
    assert not torch.equal(first.lengths, other.lengths)  # type: ignore[union-attr, arg-type]
    data = Waves(samples=600, noise=0.0).prepare()
    batch = part(data, "train")  # type: ignore[arg-type]
    assert batch.lengths is not None
    assert batch.targets is not None
    assert (int(batch.lengths.min()), int(batch.lengths.max())) == (40, 120)
    # The lag between the two channels is a quarter of a period, with the sign of the class.
    steps = batch.inputs[:, :40, :2]
    a, b = steps.unbind(2)
    lead = (a[:, 2:] - a[:, :-2]).mul(b[:, 1:-1]).mean(1) < 0
    names = data.spec.target.names  # type: ignore[union-attr]
    a_first = torch.tensor([name.endswith("a first") for name in names])[batch.targets]
    sine = torch.tensor([name.startswith("sine") for name in names])[batch.targets]
    assert (lead == a_first)[sine].all()


@pytest.mark.parametrize("settings", [{"samples": 0}, {"shortest": 0}, {"longest": 2}, {"noise": -1.0}])
def test_invalid_settings_of_waves_are_rejected(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        Waves(**settings)
