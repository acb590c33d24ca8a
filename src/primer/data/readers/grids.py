"""Reads pieces of music on a grid of sixteenth notes from JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from primer.data.loading.splits import Part
from primer.data.readers.lines import read_lines
from primer.errors import InputError

REST = -1
PITCHES = 128
"""The number of MIDI pitches, from 0; 60 is middle C."""

NAMES: dict[str, Part] = {"train": "train", "dev": "val", "test": "test"}
"""The names of the parts in a file."""


class Piece(NamedTuple):
    """The pitch of each voice at each sixteenth note; ``REST`` if the voice is silent."""

    title: str
    steps: list[list[int]]


def read_grids(file: Path) -> tuple[list[str], dict[Part, list[Piece]]]:
    """Returns the names of the voices, and the pieces of each part.

    Raises:
        InputError: if the file is not valid JSON (with the line) or a piece is malformed (with the piece and step).
    """
    return parse_grids("\n".join(read_lines(file)), file)


def parse_grids(text: str, file: Path) -> tuple[list[str], dict[Part, list[Piece]]]:
    """Returns the content of a file, see ``read_grids``."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {error.lineno}: malformed JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # A number with thousands of digits, or very deep nesting.
        raise InputError(f"{file}: this JSON cannot be read: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("train"), list) or not content["train"]:
        raise InputError(f"{file} must be an object with a list of pieces under train")
    rest, voices = content.get("rest", REST), content.get("voices")
    if not _is_integer(rest):
        raise InputError(f"{file}: rest must be an integer, not {rest!r}")
    if not isinstance(voices, list) or not voices or not all(isinstance(name, str) for name in voices):
        raise InputError(
            f"{file}: voices must be a list of names, from the highest voice to the lowest, not {voices!r}"
        )
    parts: dict[Part, list[Piece]] = {}
    for name, part in NAMES.items():
        if not isinstance(content.get(name, []), list):
            raise InputError(f"{file}: {name} must be a list of pieces")
        if content.get(name):
            parts[part] = [
                _parse_piece(raw, len(voices), rest, f"{file}: {name}, piece {k}")
                for k, raw in enumerate(content[name], start=1)
            ]
    return voices, parts


def is_new(piece: Piece, seen: set[tuple[int, ...]]) -> bool:
    """Whether the piece, regardless of its key, is not in ``seen``. Adds it to ``seen``."""
    pitches = [pitch for step in piece.steps for pitch in step]
    lowest = min((pitch for pitch in pitches if pitch != REST), default=0)
    shape = tuple(REST if pitch == REST else pitch - lowest for pitch in pitches)
    new = shape not in seen
    seen.add(shape)
    return new


def _parse_piece(raw: Any, voices: int, rest: int, location: str) -> Piece:
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), list) or not raw["steps"]:
        raise InputError(f"{location} must be an object with a title and a non-empty list of steps")
    title = str(raw.get("title", ""))
    for k, step in enumerate(raw["steps"], start=1):
        step_location = f"{location} {title!r}, step {k}"
        if not isinstance(step, list) or len(step) != voices:
            count = f"{len(step)} pitches" if isinstance(step, list) else f"{step!r}"
            raise InputError(f"{step_location}: {count}, but the file has {voices} voices")
        for pitch in step:
            if not _is_integer(pitch) or not (pitch == rest or 0 <= pitch < PITCHES):
                raise InputError(
                    f"{step_location}: {pitch!r} is neither a pitch from 0 to {PITCHES - 1} nor {rest}, the rest"
                )
    return Piece(title, [[REST if pitch == rest else pitch for pitch in step] for step in raw["steps"]])


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
