"""``python -m primer export``: a trained model as a file that runs without Primer."""

from __future__ import annotations

import os
from pathlib import Path

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
    settings, runs = {"format": "onnx"}, []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name in ("format", "output"):
            settings[name] = value
        elif equals and not Path(argument).exists():
            raise InputError(f"{argument}: export does not take {name}; usage: {USAGE}")
        else:
            runs.append(argument)
    if len(runs) != 1:
        raise InputError(f"export needs one run folder or checkpoint: {USAGE}")
    from primer.export import export

    files = export(runs[0], **settings)
    return "\n".join(os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file) for file in files)
