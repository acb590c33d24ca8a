"""Predictions from raw inputs are those of the test, to the last digit: in process and through files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from helpers.recordings import write_wav
from PIL import Image as PILImage

import primer
from primer.config.instantiate import instantiate
from primer.data.base import DataModule
from primer.errors import InputError
from primer.run.evaluation import evaluate
from primer.run.prediction import predict
from primer.run.training import train

TABLE = "age,color,hours,kind\n" + "".join(
    f"{'' if k % 7 == 0 else k % 40},{('red', 'blue', '', 'white')[k % 4]},{k % 5}.5,{('a', 'b')[k * k % 3 % 2]}\n"
    for k in range(199)
)
"""A table with missing numbers and categories."""


class Case:
    """A trained model, the raw inputs of its test part, and a way to write them to a file.

    Args:
        overrides: what is trained.
        raw: converts the data set and the records of its test part to raw inputs.
        suffix: that of the file of inputs.
        write: writes raw inputs to a file.
    """

    def __init__(self, overrides: list[str], raw: Callable[..., Any], suffix: str, write: Callable[..., Any]) -> None:
        self.overrides, self.raw, self.suffix, self.write = overrides, raw, suffix, write


def write_series(path: Path, raw: np.ndarray) -> None:
    # The numbers of the file, not those of single precision.
    lines = [f"{year},{value:.1f}\n" for year, value in enumerate(raw[:, 0], 1900)]
    path.write_text("year,sunspots\n" + "".join(reversed(lines)))


def sounds(data: Any, test: list[tuple[int, int]]) -> list[np.ndarray]:
    return [data.waveforms[row].numpy() for row, _ in test]


def write_sounds(path: Path, raw: list[np.ndarray]) -> None:
    for k, samples in enumerate(raw):
        write_wav(path / f"{k:03}.wav", samples)


CASES = {
    "pos_tags": Case(
        ["model=lstm", "data=pos_tags", "data.sentences=300", "data.characters=true"],
        lambda data, test: [sentence.words for sentence in test],
        ".conllu",
        lambda path, raw: path.write_text(
            "\n".join("".join(f"{k}\t{w}\t" + "\t".join("_" * 8) + "\n" for k, w in enumerate(s, 1)) for s in raw)
        ),
    ),
    "opinions": Case(
        ["model=lstm", "data=opinions", "data.sentences=300", "data.max_length=9"],
        lambda data, test: [" ".join(text.tokens) for text in test],
        ".txt",
        lambda path, raw: path.write_text("".join(f"{text}\n" for text in raw)),
    ),
    "dates": Case(
        ["model=seq2seq", "data=dates", "data.samples=400", "model.beam_size=2", "model.max_length=12"],
        lambda data, test: [source for source, *_ in test],
        ".jsonl",
        lambda path, raw: path.write_text("".join(json.dumps({"text": text}) + "\n" for text in raw)),
    ),
    "sounds as series": Case(["model=gru", "data=tones", "data.samples=150"], sounds, "", write_sounds),
    "sounds as images": Case(
        ["model=lenet", "data=tones", "data.samples=150", "data.features=mfcc", "data.centered=true"],
        sounds,
        "",
        write_sounds,
    ),
    "sunspots": Case(["model=lstm", "data=sunspots"], lambda data, test: test.inputs.numpy(), ".csv", write_series),
}


def raw_test_part(case: Case, folder: Path) -> Any:
    """Returns the raw inputs of the test part of a run."""
    model = primer.load(folder)
    data = instantiate(model.config["data"], DataModule)
    return case.raw(data, data.split(data.read())["test"])


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def rows_of(table: list[dict[str, str]]) -> list[dict[str, str]]:
    """Returns the predictions without the columns that tell which input each is of."""
    return [{key: value for key, value in row.items() if key.startswith(("prediction", "prob"))} for row in table]


@pytest.fixture
def fit(command: Callable[..., Any], tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Returns a function that trains, evaluates, and returns the predictions that both have written."""

    def run(*overrides: str) -> list[dict[str, str]]:
        settings = ["trainer.max_epochs=1", "callbacks=[_checkpoint,_predictions]", "accelerator=cpu", "logger=none"]
        train(command("train", "run", *overrides, *settings))
        evaluate(command("evaluate", "evaluated", f"run={tmp_path}/run", "accelerator=cpu", "samples=null"))
        expected = (tmp_path / "evaluated" / "predictions.csv").read_text()
        assert expected == (tmp_path / "run" / "predictions.csv").read_text()
        return read(tmp_path / "evaluated" / "predictions.csv")

    return run


@pytest.fixture
def run_predict(command: Callable[..., Any], tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Returns a function that predicts for a file, and returns what it has written."""

    def run(source: Path, *overrides: str) -> list[dict[str, str]]:
        output = tmp_path / "output.csv"
        names = f"run={tmp_path}/run", f"input={source}", f"output={output}"
        predict(command("predict", "unused", *names, "accelerator=cpu", *overrides))
        return read(output)

    return run


def as_texts(rows: Any) -> list[dict[str, str]]:
    """Returns rows as they are written to CSV."""

    def text(cell: Any) -> str:
        return " ".join(cell) if isinstance(cell, list) else str(cell)

    cells = [{key: text(cell) for key, cell in row.items()} for row in rows]
    return rows_of(cells)


@pytest.mark.parametrize("name", CASES)
def test_predictions_equal_those_of_the_test(name: str, fit: Any, run_predict: Any, tmp_path: Path) -> None:
    case = CASES[name]
    expected = rows_of(fit(*case.overrides))
    raw = raw_test_part(case, tmp_path / "run")
    predicted = as_texts(primer.load(tmp_path / "run").predict(raw))
    source = tmp_path / f"inputs{case.suffix}"
    case.write(source, raw)
    from_file = rows_of(run_predict(source))
    if name == "sunspots":  # The last window ends with the series, so the test has no target for its forecast.
        assert len(predicted) == len(expected) + 1
        predicted, from_file = predicted[:-1], from_file[:-1]
    assert len(expected) > 20
    assert predicted == expected
    assert from_file == expected


def test_recordings_of_any_form(fit: Any, run_predict: Any, tmp_path: Path) -> None:
    fit("model=lenet", "data=tones", "data.samples=150")
    model = primer.load(tmp_path / "run")
    data = instantiate(model.config["data"], DataModule)
    samples = raw_test_part(Case([], sounds, "", write_sounds), tmp_path / "run")[:6]
    write_sounds(tmp_path / "sounds", samples)
    files = sorted((tmp_path / "sounds").iterdir())
    expected = as_texts(model.predict(samples))
    floats = [one / np.float32(32768) for one in samples]
    for form in (
        floats,
        [torch.from_numpy(one) for one in samples],
        files,
        [samples[0], *files[1:]],
        tmp_path / "sounds",
    ):
        assert as_texts(model.predict(form)) == expected
    assert as_texts(model.predict(samples[0])) == expected[:1]
    assert as_texts(model.predict(np.stack([one[:900] for one in samples]))) == as_texts(
        model.predict([one[:900] for one in samples])
    )
    write_wav(files[1], np.repeat(samples[1], 2) / 32768, 2 * data.waveform.sample_rate)  # type: ignore[attr-defined]
    files[2].write_bytes(files[2].read_bytes()[:-10])
    rows = run_predict(tmp_path / "sounds")
    assert [row["prediction"] for row in rows[3:]] == [row["prediction"] for row in expected[3:]]
    assert rows[1]["prediction"]
    assert not rows[2]["prediction"]
    assert "002.wav: the file is cut short: byte 36 announces" in rows[2]["error"]
    for wrong, message in (
        (np.zeros((2, 3, 4)), r"must have the shape \(samples,\) or \(recordings, samples\), not \(2, 3, 4\)"),
        ([np.array([0.1, np.nan])], r"inputs\[0\]: the recording has missing or infinite samples"),
        ([samples[0], np.array([300.0])], r"inputs\[1\]: samples that are floats must be from -1 to 1, not 300"),
        ([samples[0], "nowhere.wav"], r"inputs\[1\]: nowhere.wav cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(wrong)


def test_digits_of_any_form_equal_those_of_the_test(fit: Any, run_predict: Any, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    expected = rows_of(fit("data=digits"))
    model = primer.load(tmp_path / "run")
    data = instantiate(model.config["data"], DataModule).prepare()
    images = data.parts["test"].inputs
    raw = (images * 16).numpy()
    assert raw.max() == load_digits().data.max() == 16
    for form in (raw, raw.astype(np.int64), raw.reshape(-1, 64), raw[:, 0], raw.transpose(0, 2, 3, 1), images):
        assert as_texts(model.predict(form)) == expected
    accuracy = np.mean([row["prediction"] == row["target"] for row in read(tmp_path / "run" / "predictions.csv")])
    assert accuracy > 0.5
    bytes_ = (images[:, 0] * 255).round().to(torch.uint8).numpy()
    pictures = [PILImage.fromarray(one) for one in bytes_[:20]]
    labels = [row["prediction"] for row in expected[:20]]
    assert model.predict(pictures).labels.tolist() == labels
    (tmp_path / "images").mkdir()
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / "images" / f"{k:02}.png")
    (tmp_path / "images" / "05.png").write_bytes(b"not an image")
    rows = run_predict(tmp_path / "images", "batch_size=4")
    assert [row["prediction"] for row in rows] == [*labels[:5], "", *labels[6:]]
    assert rows[5]["error"].endswith("05.png: the content is not an image of a known format")


@pytest.mark.parametrize("target", ["kind", "hours"])
def test_tables_with_missing_and_unseen_values_equal_the_test(
    target: str, fit: Any, run_predict: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One category of the test part is replaced by one that training does not see."""
    source, objective = tmp_path / "table.csv", "gaussian_nll" if target == "hours" else "auto"
    settings = ["data=csv", f"data.path={source}", f"data.target={target}", "data.missing=impute"]
    source.write_text(TABLE)
    fit(*settings, f"objective={objective}")
    data = instantiate(primer.load(tmp_path / "run").config["data"], DataModule)
    lines = TABLE.splitlines()
    names = lines[0].split(",")
    records = data.read()["train"]
    numbers = torch.arange(len(lines) - 1.0, dtype=torch.float64)[:, None]
    numbered = records._replace(inputs=torch.cat([records.inputs, numbers], 1))
    positions = [1 + int(k) for k in data.split({"train": numbered})["test"].inputs[:, -1]]
    age, _, *rest = lines[positions[3]].split(",")
    lines[positions[3]] = ",".join([age, "green", *rest])
    test = [lines[k].split(",") for k in positions]
    source.write_text("\n".join(lines) + "\n")
    for name in ("run", "evaluated"):
        shutil.rmtree(tmp_path / name)
    expected = rows_of(fit(*settings, f"objective={objective}"))
    model = primer.load(tmp_path / "run")
    assert any("" in row for row in test)
    assert not any("green" in name for name in model.spec.input.names)
    frame = pandas.read_csv(io.StringIO("\n".join([lines[0], *(",".join(row) for row in test)])))
    shuffled = frame[["kind", "hours", "age", "color"]]
    assert as_texts(model.predict(shuffled)) == expected
    assert as_texts(model.predict([dict(zip(names, row, strict=True)) for row in test])) == expected
    new = tmp_path / "new.csv"
    shuffled.to_csv(new, index=False)
    capsys.readouterr()
    assert rows_of(run_predict(new)) == expected
    assert "note: values that training did not see are encoded as zeros: color=green (1)" in capsys.readouterr().err
