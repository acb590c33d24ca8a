"""Predictions for whole series: arrays, .ts files and tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import primer
from primer.data.series.series_classification import SeriesClassification
from primer.errors import InputError
from primer.models.convolutional.cnn1d import CNN1d
from primer.spec import Classes, Series, Spec

KIND = Series(2, (1.0, 2.0), (3.0, 0.5), ("x", "y"), padded=True)
HEADER = "@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true down up\n@data\n"


def some_series(count: int = 40) -> list[np.ndarray]:
    """Returns series that rise or fall, in turn, with missing values."""
    random = np.random.default_rng(0)
    series = []
    for k in range(count):
        time = int(random.integers(6, 15))
        values = random.normal(size=(time, 2)) + np.arange(time)[:, None] * (1 if k % 2 else -1)
        values[2, 0] = np.nan
        series.append(values)
    return series


def cells(values: np.ndarray) -> str:
    return ",".join("?" if np.isnan(value) else repr(float(value)) for value in values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .ts file and a table with the same series."""
    folder = tmp_path_factory.mktemp("series")
    series = some_series()
    labels = ["up" if k % 2 else "down" for k in range(len(series))]
    lines = [f"{cells(v[:, 0])}:{cells(v[:, 1])}:{label}" for v, label in zip(series, labels, strict=True)]
    (folder / "some.ts").write_text(HEADER + "\n".join(lines) + "\n")
    rows = [
        f"s{k},{step},{cells(row[:1])},{cells(row[1:])},{labels[k]}"
        for k, values in enumerate(series)
        for step, row in enumerate(values)
    ]
    (folder / "some.csv").write_text("id,time,x,y,label\n" + "\n".join(rows) + "\n")
    return folder


def test_series_of_different_lengths_in_a_list_equal_single_ones() -> None:
    torch.manual_seed(0)
    model = CNN1d(Spec(KIND, Classes(("down", "up"))), channels=(4, 4, 4))
    series = some_series(5)
    together = model.predict(series)
    alone = [model.predict(values) for values in series]
    assert list(together.labels) == [one.labels[0] for one in alone]  # type: ignore[arg-type, index]
    assert together.probabilities == pytest.approx(np.concatenate([one.probabilities for one in alone]), abs=1e-6)
    same = model.predict(np.stack([values[:6] for values in series]))
    assert same.probabilities == pytest.approx(model.predict([values[:6] for values in series]).probabilities)
    assert model.predict([values.tolist() for values in series]).probabilities == pytest.approx(together.probabilities)
    # A channel without any value is filled with the mean of the training part.
    gone = series[0].copy()
    gone[:, 1] = np.nan
    full = gone.copy()
    full[:, 1] = KIND.mean[1]
    assert model.predict(gone).probabilities == pytest.approx(model.predict(full).probabilities)


def test_series_with_one_channel_may_be_flat() -> None:
    model = CNN1d(Spec(Series(1, (0.0,), (1.0,), padded=True), Classes(("down", "up"))), channels=(4, 4, 4))
    rows = [[1.0, 2.0, 3.0], [4.0, 5.0]]
    expected = model.predict([np.array(row)[:, None] for row in rows]).probabilities
    assert model.predict(rows).probabilities == pytest.approx(expected)
    assert model.predict(rows[1]).probabilities == pytest.approx(expected[1:])  # type: ignore[index]
    assert model.predict(np.array([[1.0, 2.0], [3.0, 4.0]])).probabilities.shape == (2, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros((3, 2)), np.zeros((3, 3))], r"^inputs\[1\]: series must have the shape \(time, 2\), not \(3, 3\)"),
        ([np.zeros((3, 2)), np.full((3, 2), np.inf)], r"^inputs\[1\]: the series has values that are infinite"),
        ([np.zeros((0, 2))], r"^inputs\[0\]: series must have the shape"),
        ([[["a", "b"]]], r"^inputs\[0\]: a series must be an array of numbers"),
        ("some.ts", "series must be arrays of numbers, or a list of them"),
        ([], "there are no inputs"),
    ],
)
def test_series_that_do_not_fit_are_rejected(inputs: Any, message: str) -> None:
    model = CNN1d(Spec(KIND, Classes(("down", "up"))), channels=(4, 4, 4))
    with pytest.raises(InputError, match=message):
        model.predict(inputs)


def test_files_are_predicted_as_in_the_test(run_in_process, folder: Path, tmp_path: Path) -> None:
    settings = ("model=cnn1d", "model.channels=[8,8,8]", "trainer.max_epochs=3", "data=series_classification")
    run = run_in_process("train.py", *settings, f"data.path={folder}/some.csv", "data.time=time", "data.batch_size=8")
    assert run.status == 0, run.err
    model = primer.load(run.folder)
    expected = model.predict(some_series()).probabilities
    data = SeriesClassification(folder / "some.csv", time="time").prepare()
    assert model.spec.input == data.spec.input
    for name, place in (("some.csv", "series"), ("some.ts", "line")):
        rows = predicted(run_in_process, run.folder, folder / name, tmp_path)
        assert next(iter(rows[0])) == place
        assert [row[place] for row in rows] == [f"s{k}" if place == "series" else str(6 + k) for k in range(40)]
        probabilities = [[float(row[f"probability_{label}"]) for label in ("down", "up")] for row in rows]
        assert probabilities == pytest.approx(expected, abs=1e-6)
    # Classes are not needed; a malformed line gets no prediction.
    text = HEADER.replace("@classLabel true down up", "@classLabel false") + "1,2,3:4,5,6\n1,2:x,3\n1,2\n4:5\n"
    (tmp_path / "new.ts").write_text(text)
    rows = predicted(run_in_process, run.folder, tmp_path / "new.ts", tmp_path)
    assert [row["error"] for row in rows] == [
        "", "channel 2, value 1 is 'x', not a number", "1 channels, but 2 expected", "",
    ]  # fmt: skip
    assert [bool(row["prediction"]) for row in rows] == [True, False, False, True]


def predicted(run_in_process, run: Path, source: Path, folder: Path) -> list[dict[str, str]]:
    result = run_in_process("predict.py", f"run={run}", f"input={source}", f"output={folder}/out.csv")
    assert result.status == 0, result.err
    with (folder / "out.csv").open() as file:
        return list(csv.DictReader(file))
