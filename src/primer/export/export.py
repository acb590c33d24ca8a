"""Exports a trained model to a file that runs without Primer, and checks it against the model."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints import reading
from primer.checkpoints.saving import copy_atomically
from primer.data.loading.scaling import to_single
from primer.errors import InputError
from primer.export.card import model_card
from primer.export.description import describe
from primer.export.graph import Graph, convert_outputs, example
from primer.models.base import Model
from primer.prediction.encoded import Encoded
from primer.prediction.predict import transform
from primer.spec import Image, Series, Tokens, Vector, Video
from primer.spec import Sequence as SequenceTarget

SIZES = ((2, 7), (5, 4))
"""The batch sizes, and the lengths of sequences, with which an exported file is checked."""

TOLERANCE = 1e-4
"""The largest difference from the model that is accepted, relative to the spread of its outputs."""

Run = Callable[[tuple[Tensor, ...]], Tensor]


def export(run: str | Path, format: str, output: str | Path | None = None) -> list[Path]:
    """Writes ``model.onnx``, ``model.pt2`` or ``model.safetensors``, its description, such as ``model.onnx.json``, and
    ``model_card.md``. An ONNX or torch file is run on random inputs and compared with the model before it is kept.

    Args:
        run: a run folder, whose best checkpoint is exported, or a checkpoint.
        format: one of ``FORMATS``.
        output: the folder to write to; by default ``export`` in the run folder.

    Returns:
        The files.

    Raises:
        InputError: if the model cannot be exported, a package is missing, or the file does not agree with the model.
    """
    if format not in FORMATS:
        raise InputError(f"format={format}: valid: {', '.join(FORMATS)}")
    checkpoint = reading.find_checkpoint(run)
    content = reading.read_checkpoint(checkpoint)
    model = reading.model_from_checkpoint(content)
    folder = checkpoint.parents[1] if (checkpoint.parents[1] / "config.yaml").is_file() else checkpoint.parent
    target = folder / "export" if output is None else Path(output).expanduser()
    if target.exists() and not target.is_dir():
        raise InputError(f"output={target} must be a folder")
    with tempfile.TemporaryDirectory() as directory:
        temporary = Path(directory)
        file = temporary / f"model.{FORMATS[format][0]}"
        checked = FORMATS[format][1](model, file, content)
        description = describe(model, format, file.name, checked)
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (temporary / f"{file.name}.json").write_text(text, encoding="utf-8")
        (temporary / "model_card.md").write_text(model_card(folder, content, description), encoding="utf-8")
        files = [target / source.name for source in sorted(temporary.iterdir())]
        for path in files:
            copy_atomically(temporary / path.name, path)
    return files


def write_onnx(model: Model, file: Path, content: dict[str, Any]) -> float:
    require("onnx", "onnxscript", "onnxruntime")
    program, names = trace(model)
    with quiet():
        try:
            exported: Any = torch.onnx.export(
                program, input_names=names, output_names=["output"], dynamo=True, external_data=False
            )
            exported.save(str(file), external_data=False)
        except Exception as error:
            raise refuse(model, "onnx", error) from error
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        given = zip((one.name for one in session.get_inputs()), inputs, strict=True)
        return torch.from_numpy(session.run(None, {name: tensor.numpy() for name, tensor in given})[0])

    return check(model, run)


def write_torch(model: Model, file: Path, content: dict[str, Any]) -> float:
    program, _ = trace(model)
    torch.export.save(program, file)
    module = torch.export.load(file).module()
    return check(model, lambda inputs: module(*inputs))


def write_safetensors(model: Model, file: Path, content: dict[str, Any]) -> float:
    from safetensors.torch import load_file, save_file

    state = {name: tensor.contiguous().clone() for name, tensor in content["state_dict"].items()}
    description = {key: content["primer"][key] for key in ("format", "model", "objective", "spec")}
    save_file(state, file, {"primer": json.dumps(description)})
    loaded = load_file(file)
    if loaded.keys() != state.keys() or not all(torch.equal(loaded[name], state[name]) for name in state):
        raise InputError("the safetensors file differs from the checkpoint")
    return 0.0


FORMATS: dict[str, tuple[str, Callable[[Model, Path, dict[str, Any]], float]]] = {
    "onnx": ("onnx", write_onnx),
    "torch": ("pt2", write_torch),
    "safetensors": ("safetensors", write_safetensors),
}
"""The suffix of each format, and the function that writes and checks it, and returns the largest difference."""


def trace(model: Model) -> tuple[torch.export.ExportedProgram, list[str]]:
    """Returns the graph of a model with any batch size and length, and the names of its inputs."""
    graph, inputs = Graph(model).eval(), example(model.spec, *SIZES[0], seed=0)
    batch, time = torch.export.Dim("batch", min=1), torch.export.Dim("time", min=2)
    sequence = (not isinstance(model.spec.input, Image) and inputs[0].ndim > 2) or isinstance(model.spec.input, Tokens)
    shapes: list[dict[int, Any]] = [{0: batch, 1: time} if sequence else {0: batch}]
    names = ["inputs"]
    if graph.takes_lengths:
        shapes.append({0: batch})
        names.append("lengths")
    torch._dynamo.reset()  # Loops over time that were traced before would fix the length.
    with quiet(), torch.no_grad():
        try:
            program = torch.export.export(graph, inputs, dynamic_shapes=tuple(shapes), strict=False)
        except Exception as error:
            raise refuse(model, "torch", error) from error
    return program, names


def check(model: Model, run: Run) -> float:
    """Returns the largest difference between an exported file and the model, relative to the spread of the outputs.

    Raises:
        InputError: if it is more than ``TOLERANCE``.
    """
    largest = 0.0
    for seed, (batch, time) in enumerate(SIZES, 1):
        inputs = example(model.spec, batch, time, seed)
        expected, actual = compute(model, inputs), run(inputs)
        if expected.shape != actual.shape:
            raise InputError(f"the exported file returns the shape {tuple(actual.shape)}, not {tuple(expected.shape)}")
        difference = (actual.double() - expected.double()).abs().max().item()
        scale = max(1.0, expected.double().std().item()) if expected.is_floating_point() else 1.0
        largest = max(largest, difference / scale)
    if not largest <= TOLERANCE:
        raise InputError(f"the exported file differs from the model by {largest:.2g}, more than {TOLERANCE:g}")
    return largest


def compute(model: Model, inputs: Sequence[Tensor]) -> Tensor:
    """Returns the predictions of a model itself, by the path that training and evaluation take."""
    kind, target = model.spec.input, model.spec.target
    values, lengths = inputs[0], inputs[1] if len(inputs) > 1 else None
    if isinstance(kind, Image | Video):
        values = values / kind.maximum
    elif isinstance(kind, Vector | Series):
        values = to_single(values, kind.offset)
    batch = Batch(values, None, lengths)
    if prepare := transform(model.spec, Encoded(batch, batch.size)):
        batch = prepare(batch, torch.Generator())
    with torch.no_grad():
        if isinstance(target, SequenceTarget):
            tokens = model.predict_batch(batch)
            length: Any = model.max_length  # Set by the graph.
            return torch.nn.functional.pad(tokens, (0, length - tokens.shape[1]))
        return convert_outputs(model, model.forward_batch(batch))


def refuse(model: Model, format: str, error: Exception) -> InputError:
    """Returns the error that says in one line why a model cannot be exported."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return InputError(f"{type(model).__name__} cannot be exported with format={format}: {reason}")


def require(*packages: str) -> None:
    """Raises ``InputError`` if a package is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"format=onnx requires {', '.join(missing)}: install primer[export]")


@contextlib.contextmanager
def quiet() -> Any:
    """Silences the progress and the warnings of the exporter, which are not about the model."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
