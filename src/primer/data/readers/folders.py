"""Finds the images of a data set that has one folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from primer.data.loading.splits import Part
from primer.errors import InputError

PARTS: dict[str, Part] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The folder names of a data set that is already split, and their parts."""

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_NAMES = 10
"""The maximum number of names listed in a message."""

Files = dict[Part, list[tuple[str, str]]]
"""The images of each part in alphabetical order: the path relative to the root folder, and the class."""


def find_images(root: Path) -> tuple[Files, list[Path]]:
    """Returns the images of a folder, and the class folders without any.

    Raises:
        InputError: if the folder does not exist, or does not have one folder per class or part.
    """
    hint = "data.path must be a folder with one folder of images per class, or with the folders train, val and test"
    if not root.is_dir():
        raise InputError(f"{root} is a file; {hint}" if root.exists() else f"there is no folder {root}; {hint}")
    files: Files = {}
    empty = []
    for part, folder in part_folders(root).items():
        files[part] = []
        classes = list_folders(folder)
        if not classes:
            raise InputError(f"there are no folders in {folder}; {hint}")
        for name in classes:
            images = list_images(folder / name, root)
            files[part] += [(image, name) for image in images]
            if not images:
                empty.append(folder / name)
    return files, empty


def class_names(root: Path, files: Files) -> tuple[str, ...]:
    """Returns the classes of the training part in alphabetical order.

    Raises:
        InputError: if there are fewer than two, or another part has a class that the training part lacks.
    """
    names = sorted({name for _, name in files["train"]})
    if len(names) < 2:
        content = f"only training images of {names[0]!r}" if names else "no training images"
        raise InputError(f"{root} has {content}; at least two classes are required")
    known = set(names)
    for part, images in files.items():
        for image, name in images:
            if name not in known:
                folder = root.joinpath(*Path(image).parts[:2])
                raise InputError(
                    f"{folder}: this class of the {part} part has no training images; "
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
    """Returns the names of the folders in a folder, except hidden ones."""
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise_unreadable(error)


def list_images(folder: Path, root: Path) -> list[str]:
    """Returns the paths, relative to ``root``, of the images in a folder and its subfolders, except hidden ones."""
    images = []
    for current, subfolders, names in os.walk(folder, onerror=raise_unreadable, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        start = os.path.relpath(current, root)
        selected = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        images += [os.path.join(start, name) for name in selected]
    return sorted(images)


def summarize(items: Iterable[object]) -> str:
    """Joins the first few items with commas, and says how many more there are."""
    texts = [str(item) for item in items]
    more = len(texts) - MAX_NAMES
    return ", ".join(texts[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def raise_unreadable(error: OSError) -> NoReturn:
    """Reports that a folder cannot be read."""
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
