"""``python -m primer export``: a trained model as a file that runs without Primer."""

from __future__ import annotations

import os
from pathlib import Path

from primer.cli.arguments import split_arguments
from primer.errors import InputError

USAGE = "python -m primer export RUN format=onnx|torch|safetensors [output=DIR]"


def export_command(arguments: list[str]) -> str:
    """Runs the command.

    Args:
        arguments: a run folder or a checkpoint, ``format=…`` and ``output=DIR``.

    Returns:
        The files written, one per line.

    Raises:
        InputError: if the arguments are wrong, or the model cannot be exported.
    """
    runs, settings = split_arguments(arguments, ("format", "output"), USAGE)
    if len(runs) != 1:
        raise InputError(f"export needs one run folder or checkpoint: {USAGE}")
    from primer.export import export

    files = export(runs[0], settings.get("format", "onnx"), settings.get("output"))
    return "\n".join(os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file) for file in files)
