"""Predicts for a file or a folder of inputs. Needs nothing but the checkpoint."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig, OmegaConf

from primer.checkpoints import reading
from primer.data.readers.cells import CellFormat
from primer.data.readers.csv_rows import parse_delimiter
from primer.data.readers.steps import read_steps
from primer.errors import InputError
from primer.models.base import Model
from primer.prediction.files import CHUNK, Chunk, read_chunks
from primer.prediction.predict import default_batch_size, describe_unseen, encode, predict_encoded
from primer.prediction.predictions import Predictions, column_types
from primer.prediction.series import encode_whole, read_series
from primer.prediction.tables import encode_table, table_columns
from primer.records.console import say, show_table
from primer.records.table_writer import TableWriter
from primer.run.accelerators import check_accelerator
from primer.run.evaluation import set_beam_size
from primer.run.training import redirect_library_logs
from primer.spec import Image, Interactions, NextToken, Series, Tags, Tokens, Vector, Video, recording_of

MAX_REPORTED = 20
"""The number of inputs with an error that are printed; the others are counted."""


def predict(cfg: DictConfig) -> dict[str, float]:
    """Writes the prediction for each input of a file or folder, in order.

    An input that cannot be read or encoded gets an empty prediction, and its problem in the column ``error``.

    Args:
        cfg: composed config of ``configs/predict.yaml``.

    Returns:
        The number of ``rows`` and of those with ``errors``.

    Raises:
        InputError: if the checkpoint or the file cannot be read, or no input can be predicted.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    file = reading.find_checkpoint(config["run"] or config["ckpt"])
    model = reading.load(file)
    if config["beam_size"] is not None:
        set_beam_size(model, config["beam_size"])
    fabric = L.Fabric(**{key: config["accelerator"][key] for key in ("accelerator", "precision")}, devices=1)
    model = model.to(fabric.device)
    source, output = Path(config["input"]).expanduser(), Path(config["output"]).expanduser()
    show_table("primer", {"checkpoint": str(file), "model": type(model).__name__, "input": str(source)})
    rows, unseen, problems = 0, Counter(), Problems(source)
    types = place_type(model, source) | prediction_types(model) | {"error": str}
    with TableWriter(output, types) as table, fabric.autocast():
        for chunk, predictions in predict_chunks(model, source, config, unseen):
            width = len(types) - 2
            good = iter(predictions.cells() if predictions else [])
            cells = []
            for position, location in enumerate(chunk.locations):
                error = chunk.errors.get(position)
                cells.append([printable(location), *([None] * width if error else next(good)), printable(error)])
                if error:
                    problems.report(location, error)
            table.write(cells)
            rows += len(cells)
        if not rows:
            raise InputError(f"{source} has no inputs")
        if problems.count == rows:
            raise InputError(f"none of the {rows:,} inputs of {source} can be predicted; the first: {problems.first}")
    if unseen:
        print(f"note: {describe_unseen(unseen)}", file=sys.stderr)
    problems.summarize(rows, output)
    say(f"predictions: {output}")
    return {"rows": rows, "errors": problems.count}


def printable(text: Any) -> Any:
    """Returns a text with escapes for the bytes of a file name that are not UTF-8, and other values unchanged."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


class Problems:
    """Reports inputs with an error on standard error.

    Args:
        source: the file or folder of the inputs.
    """

    def __init__(self, source: Path) -> None:
        self.source, self.count, self.first = source, 0, ""

    def report(self, location: Any, error: str) -> None:
        """Prints an error, up to a maximum number."""
        self.count += 1
        text = f"{self.source}, line {location}: {error}" if isinstance(location, int) else error
        self.first = self.first or text
        if self.count <= MAX_REPORTED:
            print(text, file=sys.stderr)

    def summarize(self, rows: int, output: Path) -> None:
        """Prints how many inputs were predicted."""
        if self.count > MAX_REPORTED:
            print(f"and {self.count - MAX_REPORTED:,} more: see the column error of {output}", file=sys.stderr)
        if self.count:
            say(f"predicted {rows - self.count:,} of {rows:,} inputs; {self.count:,} could not be read")
        else:
            say(f"predicted {rows:,} inputs")


def predict_chunks(
    model: Model, source: Path, config: dict[str, Any], unseen: Counter[tuple[str, str]]
) -> Iterator[tuple[Chunk, Predictions | None]]:
    """Yields the inputs in chunks, and the predictions for those without an error."""
    spec, data = model.predicted, model.config.get("data", {})
    size = config["batch_size"] or default_batch_size(model)
    if isinstance(spec.input, Series) and not spec.input.recording:
        yield (predict_windows if spec.input.window else predict_series)(model, source, config, size)
        return
    kind = spec.input
    columns = []
    if isinstance(kind, Vector):
        columns = [column.name for column in table_columns(kind)]
    elif isinstance(kind, Interactions):
        columns = list(kind.names)
    elif isinstance(kind, Tokens):
        columns = [config["column"] or text_column(data)]
    chunk_size = size if isinstance(kind, Image | Video | Series) else max(1, CHUNK // size) * size
    delimiter, skip_rows = config["delimiter"] or data.get("delimiter"), data.get("skip_rows", 0)
    for chunk in read_chunks(source, kind, columns, chunk_size, delimiter, skip_rows):
        if not chunk.inputs:
            yield chunk, None
            continue
        encoded = (
            encode_table(kind, chunk.inputs, cell_format(data))
            if isinstance(kind, Vector)
            else encode(spec, chunk.inputs, model.longest_input)
        )
        kept = [k for k in range(len(chunk.locations)) if k not in chunk.errors]
        chunk.errors |= {kept[position]: error for position, error in encoded.errors.items()}
        unseen += encoded.unseen
        yield chunk, predict_encoded(model, encoded, size) if encoded.batch.size else None


def predict_series(model: Model, source: Path, config: dict[str, Any], size: int) -> tuple[Chunk, Predictions | None]:
    """Returns the series of a file, and the predictions for those without an error."""
    kind = model.spec.input
    assert isinstance(kind, Series)
    if not kind.mean:
        raise InputError("predict.py reads series of models that were trained on standardized ones; use model.predict")
    chunk = read_series(kind, source, model.config.get("data", {}), config["delimiter"])
    encoded = encode_whole(kind, chunk.inputs)
    kept = [k for k in range(len(chunk.locations)) if k not in chunk.errors]
    for position, error in encoded.errors.items():
        location = chunk.locations[kept[position]]
        chunk.errors[kept[position]] = error if isinstance(location, int) else f"series {location}: {error}"
    return chunk, predict_encoded(model, encoded, size) if encoded.batch.size else None


def predict_windows(model: Model, source: Path, config: dict[str, Any], size: int) -> tuple[Chunk, Predictions]:
    """Returns the forecast from each window of a series, with the number of the last step of the window, from 1.

    A series is read as a whole, since its rows may have to be sorted by time and its gaps filled.
    """
    kind, data = model.spec.input, model.config.get("data", {})
    assert isinstance(kind, Series)
    assert kind.names
    steps, _ = read_steps(
        source,
        list(kind.names),
        data.get("time"),
        parse_delimiter(config["delimiter"] or data.get("delimiter", ",")),
        data.get("missing") == "interpolate",
        data.get("time_format"),
        cell_format(data),
        data.get("skip_rows", 0),
    )
    encoded = encode(model.spec, steps)
    return Chunk(list(range(kind.window, len(steps) + 1)), steps), predict_encoded(model, encoded, size)


def place_type(model: Model, source: Path) -> dict[str, type]:
    """Returns the column that says which input a prediction is for, and the type of its cells."""
    kind = model.spec.input
    if isinstance(kind, Image | Video) or recording_of(kind):
        return {"file": str}
    if isinstance(kind, Series) and kind.window:
        return {"step": int}
    return {"series": str} if isinstance(kind, Series) and source.suffix.lower() != ".ts" else {"line": int}


def prediction_types(model: Model) -> dict[str, type]:
    """Returns the columns of the predictions of a model, and the type of their cells."""
    objective, target = model.objective, model.predicted.target
    given = {
        "std": hasattr(objective, "standard_deviation"),
        "probabilities": hasattr(objective, "log_probabilities") or isinstance(target, NextToken),
        "tokens": isinstance(target, Tags),
    }
    return column_types(target, tuple(name for name, present in given.items() if present))


def text_column(data: dict[str, Any]) -> str:
    """Returns the column of the text in tables, as in training."""
    column = data.get("text", "text")
    return column if isinstance(column, str) else "text"


def cell_format(data: dict[str, Any]) -> CellFormat:
    """Returns how cells were read in training."""
    return CellFormat(
        **{key: data[key] for key in ("decimal", "thousands", "na_values", "keep_default_na") if key in data}
    )
