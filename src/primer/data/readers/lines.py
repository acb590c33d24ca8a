"""Finds and reads text files."""

from __future__ import annotations

import os
from pathlib import Path

from primer.data.loading.splits import Part
from primer.errors import InputError


def find_files(data_dir: Path, hint: str, **files: str | None) -> dict[Part, Path]:
    """Returns the paths of ``train``, ``dev`` and ``test``, if given, by part.

    Args:
        data_dir: the folder that is searched first.
        hint: what the files should be, which ends the error message.
        **files: the files; None if not given.

    Raises:
        InputError: if a file does not exist.
    """
    names: dict[str, Part] = {"train": "train", "dev": "val", "test": "test"}
    return {names[name]: find_file(file, data_dir, hint) for name, file in files.items() if file is not None}


def find_file(file: str, data_dir: Path, hint: str) -> Path:
    """Returns the path of a file. A relative path is looked up in ``data_dir``, then in the current folder; ``~`` is
    the home folder.

    Raises:
        InputError: if the file does not exist; the message ends with ``hint``.
    """
    path, reason = Path(os.path.expanduser(file)), ""  # Path.expanduser raises if the user does not exist.
    for folder in (data_dir, Path()):
        try:
            if (folder / path).is_file():
                return folder / path
        except OSError as error:  # The name is too long, or a folder is not accessible.
            reason = f" ({error.strerror})"
    searched = f" in {data_dir} or in {Path.cwd()}" if not path.is_absolute() else ""
    raise InputError(f"there is no file {file}{searched}{reason}: {hint}")


def read_lines(path: Path) -> list[str]:
    r"""Returns the lines of a file. Lines end with ``\n`` or ``\r\n``; other separators, such as form feeds, are part
    of the line.

    Raises:
        InputError: if the file cannot be read or is not UTF-8, with the line.
    """
    return read_text(path).replace("\r\n", "\n").split("\n")


def read_text(path: Path) -> str:
    """Returns the content of a file, with its line endings unchanged.

    Raises:
        InputError: if the file cannot be read or is not UTF-8, with the line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8; save it as UTF-8") from None
