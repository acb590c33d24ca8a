"""Text files: where they lie, their text and their lines."""

from __future__ import annotations

import os
from pathlib import Path

from primer.data.loading.splits import Part
from primer.errors import InputError


def find_files(data_dir: Path, wanted: str, **files: str | None) -> dict[Part, Path]:
    """The files of ``train``, ``dev`` and ``test``, those that are given, by their part.

    Raises:
        InputError: where there is no such file, with what was ``wanted``.
    """
    names: dict[str, Part] = {"train": "train", "dev": "val", "test": "test"}
    return {names[name]: find_file(file, data_dir, wanted) for name, file in files.items() if file is not None}


def find_file(file: str, data_dir: Path, wanted: str) -> Path:
    """A file by its path, or by one that is relative to ``data_dir`` or else to the current folder; ``~`` is the user's
    folder.

    Raises:
        InputError: where there is none, with what was ``wanted``.
    """
    path, reason = Path(os.path.expanduser(file)), ""  # Path.expanduser fails where there is no such user.
    for folder in (data_dir, Path()):
        try:
            if (folder / path).is_file():
                return folder / path
        except OSError as error:  # The name is too long, or a folder may not be entered.
            reason = f" ({error.strerror})"
    where = f" in {data_dir} or in {Path.cwd()}" if not path.is_absolute() else ""
    raise InputError(f"there is no file {file}{where}{reason}: {wanted}")


def read_lines(path: Path) -> list[str]:
    """The lines of a file, whether they end with a line feed or a carriage return too. Any other separator, such as
    a form feed, belongs to its line.

    Raises:
        InputError: for a file that cannot be read, or is not UTF-8, with its line.
    """
    return read_text(path).replace("\r\n", "\n").split("\n")


def read_text(path: Path) -> str:
    """What a file holds, with its line ends as they are.

    Raises:
        InputError: for a file that cannot be read, or is not UTF-8, with its line.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f"{path}, line {line}: byte {byte:#04x} is not UTF-8; save it as UTF-8") from None
