"""Music in several voices, of which the next note is to be said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.readers.grids import PITCHES, REST, Piece, is_new, read_grids
from primer.data.readers.lines import find_file
from primer.data.readers.midi import midi
from primer.data.readers.vocabulary import SPECIAL
from primer.data.text.segments import TokenStream, next_token
from primer.errors import InputError
from primer.records import run_folder
from primer.spec import UNKNOWN, Spec, Tokens

START, SILENCE = "<start>", "rest"
VOICES = ["soprano", "alto", "tenor", "bass"]
PROMPT = 16
"""Steps of the test part that are continued by default: four beats."""


class Music(TokenStream):
    """Pieces on a grid of sixteenth notes, from a JSON file; by default Bach's chorales in four voices, from the corpus
    of ``music21``.

    A piece is read as a start, then at each step the voices from the highest to the lowest, each a token; a part is its
    pieces one after the other. So a note is said in view of all that sounded before and of the voices above it (Liang
    et al. 2017).

    The file is an object with ``train`` and, where the split is the data's own, ``dev`` and ``test``: each a list of
    objects with a ``title`` and ``steps``, a list of the pitches of all ``voices``, which are named, for each step.
    ``rest``, -1 by default, stands for silence. Otherwise whole pieces are held out.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        transpose: the training pieces are also there up to so many semitones higher and lower.
        unique: whether a piece that stands there several times, be it in another key, stays once: in the test part if
            it is there, else in the validation part. So nothing is tested that was learnt. Some chorales come twice.
        eval_streams: as in ``TokenStream``. More than one start in the middle of a piece, where no
            model can know which voice is next.
        kwargs: as there.

    Raises:
        ValueError: for a negative number; when the data is read, for a file that is missing or malformed, or where
            ``music21`` is needed and not installed.
    """

    def __init__(
        self, *, path: str | None = None, transpose: int = 0, unique: bool = True, eval_streams: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(eval_streams=eval_streams, **kwargs)
        if transpose < 0:
            raise InputError(f"transpose must be at least 0 semitones, not {transpose}")
        self.path, self.transpose, self.unique = path, transpose, unique
        self.voices: list[str] = []

    @property
    def corpus(self) -> Path:
        """Where the pieces of ``music21`` are kept, once they are on the grid."""
        return self.data_dir / "music21" / "chorales.json"

    def download(self) -> None:
        if self.path is None and not self.corpus.is_file():
            pieces = [piece._asdict() for piece in chorales()]
            run_folder.write(self.corpus, json.dumps({"voices": VOICES, "rest": REST, "train": pieces}))

    def read(self) -> dict[Part, Records]:
        wanted = "data.path names a JSON file of pieces"
        file = self.corpus if self.path is None else find_file(self.path, self.data_dir, wanted)
        self.voices, parts = read_grids(file)
        if self.unique:
            seen: set[tuple[int, ...]] = set()
            later_first: tuple[Part, ...] = ("test", "val", "train")
            parts = {part: [p for p in parts[part] if is_new(p, seen)] for part in later_first if part in parts}
            if not parts["train"]:
                raise InputError(f"{file}: each training piece is in another part too; data.unique=false keeps them")
        return parts  # type: ignore[return-value]

    def fit_spec(self, train: Any) -> Spec:
        pitches = sorted({pitch for piece in train for step in piece.steps for pitch in step} - {REST})
        return next_token((START, SILENCE, *map(str, pitches)), "note")

    def encode(self, records: Any) -> Batch:
        places = self._places()
        silent = places[SILENCE]
        table = np.array([places.get(str(pitch), UNKNOWN) for pitch in range(PITCHES)] + [silent])  # The last is -1.
        start = np.array([places[START]])
        tokens = [part for piece in records for part in (start, table[np.array(piece.steps).ravel()])]
        return self.stream(torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *tokens])))

    def prompt(self, text: str | None = None) -> Tensor:
        """The user's text names the notes of each step as the vocabulary does: ``67 62 59 rest 67 62 59 43``."""
        if not text:
            return self.parts["test"].inputs[: 1 + PROMPT * len(self.voices)]  # type: ignore[union-attr]
        places = self._places()
        if strange := [word for word in text.split() if word not in places]:
            raise InputError(f"a prompt is made of {SILENCE} and the pitches of the training part, not {strange[0]!r}")
        return torch.tensor([places[word] for word in (START, *text.split())])

    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """``sample.json``, the steps with how many of them were given, and ``sample.mid``."""
        steps, given = self.decode(tokens), len(self.decode(tokens[:prompt]))
        content = {"step": "sixteenth note", "voices": self.voices, "rest": REST, "prompt": given, "steps": steps}
        run_folder.write(folder / "sample.json", json.dumps(content) + "\n")
        run_folder.write(folder / "sample.mid", midi(steps, REST, self.voices))

    def decode(self, tokens: Tensor) -> list[list[int]]:
        """The whole steps in a sequence. An unknown note is silent."""
        assert isinstance(self.spec.input, Tokens)
        steps: list[list[int]] = []
        step: list[int] = []
        for word in (self.spec.input.vocabulary[k] for k in tokens.tolist()):
            if word == START:
                step = []  # A model may start a piece in the middle of a step.
                continue
            step.append(int(word) if word.isdecimal() else REST)
            if len(step) == len(self.voices):
                steps.append(step)
                step = []
        return steps

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        records: dict[Part, Any] = super().split(parts)
        shifts = range(-self.transpose, self.transpose + 1)
        records["train"] = [copy for shift in shifts for piece in records["train"] for copy in shifted(piece, shift)]
        return records

    def _places(self) -> dict[str, int]:
        assert isinstance(self.spec.input, Tokens)
        return {word: k for k, word in enumerate(self.spec.input.vocabulary) if k >= len(SPECIAL)}


def shifted(piece: Piece, semitones: int) -> Iterator[Piece]:
    """The piece so much higher, unless it would leave the pitches of MIDI."""
    steps = [[pitch if pitch == REST else pitch + semitones for pitch in step] for step in piece.steps]
    if all(pitch == REST or 0 <= pitch < PITCHES for step in steps for pitch in step):
        yield piece._replace(steps=steps)


def chorales() -> Iterator[Piece]:
    """Bach's chorales in four voices, in the order of Riemenschneider's edition. It takes a minute.

    Raises:
        InputError: where ``music21`` is not installed.
    """
    try:
        from music21 import corpus
    except ImportError:
        raise InputError("data=music needs data.path, or the package music21: install primer[music]") from None
    for score in corpus.chorales.Iterator():
        yield from in_four_voices(score)


def in_four_voices(score: Any) -> Iterator[Piece]:
    """What ``music21`` holds a piece to be, on the grid, where it has four voices."""
    voices = [on_grid(part.flatten().notesAndRests) for part in score.parts]
    if len(voices) == 4:
        steps = zip_longest(*voices, fillvalue=REST)
        yield Piece(str(score.metadata.title), [list(step) for step in steps])


def on_grid(notes: Iterable[Any]) -> list[int]:
    """What sounds at each sixteenth note, of what ``music21`` holds a voice to be."""
    sounding: list[int] = []
    for note in notes:
        first, last = (int(-(-4 * beats // 1)) for beats in (note.offset, note.offset + note.quarterLength))
        sounding += [REST] * (last - len(sounding))
        for place in range(first, last):
            sounding[place] = REST if note.isRest else max(pitch.midi for pitch in note.pitches)
    return sounding
