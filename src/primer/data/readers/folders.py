"""Finds the files of a data set that has one folder per class."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

from primer.data.loading.splits import Part
from primer.errors import InputError

PARTS: dict[str, Part] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The folder names of a data set that is already split, and their parts."""

SUFFIXES = {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx",
}  # fmt: skip
"""The suffixes of images; see ``FORMATS`` in ``decoding``."""
MAX_NAMES = 10
"""The maximum number of names listed in a message."""

Files = dict[Part, list[tuple[str, str]]]
"""The files of each part in alphabetical order: the path relative to the root folder, and the class."""


class Found(NamedTuple):
    """The content of a folder: the files that were looked for, class folders without any, and other files."""

    files: Files
    empty: list[Path]
    others: list[str]


def find_in_classes(root: Path, suffixes: Collection[str] = SUFFIXES, noun: str = "images") -> Found:
    """Returns the content of a folder. Each file counts once, even if links lead to it several times, and a link to a
    folder that contains the link is not followed.

    Args:
        root: the folder.
        suffixes: the suffixes of the files to look for.
        noun: what they are, for messages.

    Raises:
        InputError: if the folder does not exist or does not have one folder per class or part, or if a link adds a file
            to a second class or part.
    """
    found = Found({}, [], [])
    owners: dict[str, tuple[Path, str]] = {}
    for part, folder in class_folders(root, noun):
        files, others = list_files(folder, root, suffixes)
        for file, real in files.items():
            check_owner(owners, root, folder, file, real)
        found.files.setdefault(part, []).extend((file, folder.name) for file in files)
        found.others.extend(others)
        if not files:
            found.empty.append(folder)
    return found


def check_owner(owners: dict[str, tuple[Path, str]], root: Path, folder: Path, file: str, real: str) -> None:
    """Notes the folder of a class that a file belongs to.

    Args:
        owners: the folder of each real file so far, and the path by which it was found.
        root: the folder of the data set.
        folder: the folder of the class.
        file: the path of the file, relative to ``root``.
        real: the file that it leads to.

    Raises:
        InputError: if the file belongs to another class or part already.
    """
    owner, same = owners.setdefault(real, (folder, file))
    if owner != folder:
        raise InputError(
            f"{root / file} is a link to the same file as {root / same}, in another class or part: remove one of them"
        )


def class_folders(root: Path, noun: str) -> list[tuple[Part, Path]]:
    """Returns the part and the folder of each class, one part after the other. ``noun`` is what the folders hold, for
    messages.

    Raises:
        InputError: if the folder does not exist or does not have one folder per class or part.
    """
    hint = f"data.path must be a folder with one folder of {noun} per class, or with the folders train, val and test"
    if not root.is_dir():
        raise InputError(f"{root} is a file; {hint}" if root.exists() else f"there is no folder {root}; {hint}")
    found: list[tuple[Part, Path]] = []
    for part, folder in part_folders(root).items():
        classes = list_folders(folder)
        if not classes:
            raise InputError(f"there are no folders in {folder}; {hint}")
        found.extend((part, folder / name) for name in classes)
    return found


def class_names(root: Path, files: Files, noun: str = "images") -> tuple[str, ...]:
    """Returns the classes of the training part in alphabetical order. ``noun`` is what the files are, for messages.

    Raises:
        InputError: if there are fewer than two, or another part has a class that the training part lacks.
    """
    names = sorted({name for _, name in files["train"]})
    if len(names) < 2:
        content = f"only training {noun} of {names[0]!r}" if names else f"no training {noun}"
        raise InputError(f"{root} has {content}; at least two classes are required")
    known = set(names)
    for part, images in files.items():
        for image, name in images:
            if name not in known:
                folder = root.joinpath(*Path(image).parts[:2])
                raise InputError(
                    f"{folder}: this class of the {part} part has no training {noun}; "
                    f"the classes are {summarize(names)}"
                )
    return tuple(names)


def part_folders(root: Path) -> dict[Part, Path]:
    """Returns the folder of each part. If the data set is not split, the only part is ``train`` in ``root``."""
    subfolders = list_folders(root)
    part_names = [name for name in subfolders if name.lower() in PARTS]
    lower = {name.lower() for name in part_names}
    if "train" in lower and (len(part_names) > 1 or len(subfolders) == 1):
        parts: dict[Part, Path] = {}
        for name in part_names:
            part = PARTS[name.lower()]
            if part in parts:
                raise InputError(f"{root} has both {parts[part].name} and {name}, which would both be the {part} part")
            parts[part] = root / name
        return parts
    if lower & {"val", "validation", "test"} and "train" not in lower:
        raise InputError(f"{root} has {' and '.join(part_names)} but no folder train")
    return {"train": root}


def list_folders(root: Path) -> list[str]:
    """Returns the names of the folders in a folder, except hidden ones and links to folders that contain it."""
    names = sorted(entry.name for entry in scan(str(root)) if os.path.isdir(entry.path))
    return [name for name in names if not is_within(os.path.realpath(root), os.path.realpath(root / name))]


def list_files(folder: Path, root: Path, suffixes: Collection[str] = SUFFIXES) -> tuple[dict[str, str], list[str]]:
    """Returns the files with certain suffixes in a folder and its subfolders, and the other files, as paths relative to
    ``root`` in alphabetical order. Hidden files and folders are left out. For each of the former, also returns the path
    of the real file, to which no other one of the folder leads."""
    files: dict[str, str] = {}
    others: list[str] = []
    visited: set[str] = set()

    def visit(current: str, above: tuple[str, ...]) -> None:
        real = os.path.realpath(os.path.join(root, current))
        if real in visited or any(is_within(path, real) for path in above):
            return
        visited.add(real)
        for entry in scan(os.path.join(root, current)):
            path = os.path.join(current, entry.name)
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                visit(path, (*above, real))
            elif os.path.splitext(entry.name)[1].lower() in suffixes:
                is_link = entry.is_symlink()
                files[path] = os.path.realpath(entry.path) if is_link else os.path.join(real, entry.name)
            else:
                others.append(path)

    visit(os.path.relpath(folder, root), (os.path.realpath(folder.parent),))
    unique: dict[str, str] = {}
    for path in sorted(files):
        unique.setdefault(files[path], path)
    return {path: real for real, path in unique.items()}, sorted(others)


def scan(folder: str) -> list[os.DirEntry[str]]:
    """Returns the entries of a folder, except hidden ones. Raises ``InputError`` if it cannot be read."""
    try:
        return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise_unreadable(error)


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies within it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def summarize(items: Iterable[object]) -> str:
    """Joins the first few items with commas, and says how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - MAX_NAMES
    return ", ".join(texts[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def raise_unreadable(error: OSError) -> NoReturn:
    """Reports that a folder cannot be read."""
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
