"""Finds the pictures of a data set that has one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NoReturn

from primer.errors import InputError

Part = Literal["train", "val", "test"]
PARTS: dict[str, Part] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The folders of a data set that is split already, and the part that each is."""

SUFFIXES = (".png", ".jpg", ".jpeg")
NAMED = 10
"""So many names stand in a message; then their number is told."""

Files = dict[Part, list[tuple[str, str]]]
"""Of each part, the pictures in the order of the alphabet: the name from the top folder on, and the class."""


def find(root: Path) -> tuple[Files, list[Path]]:
    """The pictures of a folder, and the class folders in it that hold none.

    Raises:
        InputError: where there is no such folder, or it has not one folder for each class or part.
    """
    wanted = "data.path must be a folder that holds one folder of pictures for each class, or train, val and test"
    if not root.is_dir():
        raise InputError(f"{root} is a file; {wanted}" if root.exists() else f"there is no folder {root}; {wanted}")
    files: Files = {}
    empty = []
    for part, folder in part_folders(root).items():
        files[part] = []
        classes = folders(folder)
        if not classes:
            raise InputError(f"there are no folders in {folder}; {wanted}")
        for name in classes:
            found = pictures(folder / name, root)
            files[part] += [(picture, name) for picture in found]
            if not found:
                empty.append(folder / name)
    return files, empty


def class_names(root: Path, files: Files) -> tuple[str, ...]:
    """The classes of the training part, in the order of the alphabet.

    Raises:
        InputError: where there are fewer than two, or another part has one that training lacks.
    """
    names = sorted({name for _, name in files["train"]})
    if len(names) < 2:
        there = f"pictures of {names[0]!r} alone" if names else "no picture"
        raise InputError(f"{root} holds {there} to learn from; at least two classes are needed")
    known = set(names)
    for part, some in files.items():
        for picture, name in some:
            if name not in known:
                folder = root.joinpath(*Path(picture).parts[:2])
                raise InputError(
                    f"{folder}: the {part} part has a class of which there is no picture to learn from; "
                    f"the classes are {few(names)}"
                )
    return tuple(names)


def part_folders(root: Path) -> dict[Part, Path]:
    """The folder of each part; that of ``train`` alone is the top folder itself where the data set is not split."""
    inside = folders(root)
    named = [name for name in inside if name.lower() in PARTS]
    lower = {name.lower() for name in named}
    if "train" in lower and (len(named) > 1 or len(inside) == 1):
        found: dict[Part, Path] = {}
        for name in named:
            part = PARTS[name.lower()]
            if part in found:
                raise InputError(f"{root} holds both {found[part].name} and {name}, and each would be the {part} part")
            found[part] = root / name
        return found
    if lower & {"val", "validation", "test"} and "train" not in lower:
        raise InputError(f"{root} holds {' and '.join(named)} but no train: training needs a folder of its own")
    return {"train": root}


def folders(root: Path) -> list[str]:
    """The names of the folders in a folder, without hidden ones."""
    try:
        return sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
    except OSError as error:
        refuse(error)


def pictures(folder: Path, root: Path) -> list[str]:
    """The names, from ``root`` on, of the pictures in a folder and in those within it, without hidden ones."""
    found = []
    for place, inner, names in os.walk(folder, onerror=refuse, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        start = os.path.relpath(place, root)
        good = [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
        found += [os.path.join(start, name) for name in good]
    return sorted(found)


def few(texts: Iterable[object]) -> str:
    """The first of several, with commas, and how many more there are."""
    listed = [str(text) for text in texts]
    more = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {more} more" if more > 0 else "")


def refuse(error: OSError) -> NoReturn:
    """Says that a folder cannot be read."""
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
