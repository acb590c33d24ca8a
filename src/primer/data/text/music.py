"""Polyphonic music for next-token prediction."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.readers.grids import PITCHES, REST, Piece, is_new, parse_grids, read_grids
from primer.data.readers.lines import find_file
from primer.data.readers.midi import midi
from primer.data.readers.vocabulary import SPECIAL
from primer.data.text.token_stream import TokenStream, next_token_spec
from primer.errors import InputError
from primer.records import run_folder
from primer.spec import UNKNOWN, Spec, Tokens

START, SILENCE = "<start>", "rest"
VOICES = ["soprano", "alto", "tenor", "bass"]
PROMPT = 16
"""Length of the default prompt, taken from the test part, in time steps: four beats."""

log = logging.getLogger(__name__)


class Music(TokenStream):
    """Pieces on a grid of sixteenth notes from a JSON file; by default, Bach's four-part chorales from the ``music21``
    corpus.

    A piece is a start token followed by one token per voice at each time step, from the highest voice to the lowest; a
    part is the concatenation of its pieces. Each note is therefore predicted given everything before it and the higher
    voices of its own step (Liang et al. 2017).

    The file is an object with a list ``voices`` of voice names and a list of pieces ``train``; with a predefined split
    also ``dev`` and ``test``, otherwise whole pieces are held out. A piece is an object with a ``title`` and a list
    ``steps`` that holds the list of the pitches of all voices at each time step. ``rest``, -1 by default, is the pitch
    that represents silence.

    Args:
        path: the file. A relative path is looked up in ``data_dir``, then in the current folder.
        transpose: maximum number of semitones, up and down, by which copies of the training pieces are transposed.
        unique: whether to keep only one of several equal pieces, regardless of key: preferably in the test part, then
            in the validation part, so that no tested piece was trained on. Some chorales occur twice.
        eval_streams: see ``TokenStream``. With more than one, streams start in the middle of a piece, where a model
            cannot know which voice comes next.
        **kwargs: see ``TokenStream``.

    Raises:
        InputError: if ``transpose`` is negative; when the data is read, if the file is missing or malformed, or
            ``music21`` is required but not installed.
    """

    def __init__(
        self, *, path: str | None = None, transpose: int = 0, unique: bool = True, eval_streams: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(eval_streams=eval_streams, **kwargs)
        if transpose < 0:
            raise InputError(f"transpose must be at least 0 semitones, not {transpose}")
        self.path, self.transpose, self.unique = path, transpose, unique
        self.voices: list[str] = []
        self._unsaved: str | None = None

    @property
    def corpus(self) -> Path:
        """The file in which the chorales of ``music21`` are cached."""
        return self.data_dir / "music21" / "chorales.json"

    def download(self) -> None:
        if self.path is None and not self.corpus.is_file():
            pieces = [piece._asdict() for piece in chorales()]
            content = json.dumps({"voices": VOICES, "rest": REST, "train": pieces})
            try:
                run_folder.write(self.corpus, content)
            except OSError as error:  # Without the cache, the next run only takes longer.
                log.warning("%s cannot be written: %s", self.corpus, error.strerror)
                self._unsaved = content

    def read(self) -> dict[Part, Records]:
        hint = "data.path names a JSON file of pieces"
        file = self.corpus if self.path is None else find_file(self.path, self.data_dir, hint)
        self.voices, parts = read_grids(file) if self._unsaved is None else parse_grids(self._unsaved, file)
        if self.unique:
            seen: set[tuple[int, ...]] = set()
            held_out_first: tuple[Part, ...] = ("test", "val", "train")
            parts = {part: [p for p in parts[part] if is_new(p, seen)] for part in held_out_first if part in parts}
            if not parts["train"]:
                raise InputError(
                    f"{file}: every training piece is also in another part; set data.unique=false to keep duplicates"
                )
        return parts  # type: ignore[return-value]

    def fit_spec(self, train: Any) -> Spec:
        pitches = sorted({pitch for piece in train for step in piece.steps for pitch in step} - {REST})
        return next_token_spec((START, SILENCE, *map(str, pitches)), "note")

    def encode(self, records: Any) -> Batch:
        index = self._token_to_index()
        silence = index[SILENCE]
        table = np.array([index.get(str(pitch), UNKNOWN) for pitch in range(PITCHES)] + [silence])  # [-1] is a rest.
        start = np.array([index[START]])
        tokens = [part for piece in records for part in (start, table[np.array(piece.steps).ravel()])]
        return self.to_batch(torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *tokens])))

    def prompt(self, text: str | None = None) -> Tensor:
        """Returns the tokens of a prompt. ``text`` gives the notes of each step: ``67 62 59 rest 67 62 59 43``."""
        if not text:
            return self.parts["test"].inputs[: 1 + PROMPT * len(self.voices)]  # type: ignore[union-attr]
        index = self._token_to_index()
        if unknown := [word for word in text.split() if word not in index]:
            raise InputError(f"a prompt is made of {SILENCE} and the pitches of the training part, not {unknown[0]!r}")
        return torch.tensor([index[word] for word in (START, *text.split())])

    def write_sample(self, tokens: Tensor, prompt: int, folder: Path) -> None:
        """Writes ``sample.json``, with the time steps and the number of those in the prompt, and ``sample.mid``."""
        steps, prompt_steps = self.decode(tokens), len(self.decode(tokens[:prompt]))
        content = {
            "step": "sixteenth note",
            "voices": self.voices,
            "rest": REST,
            "prompt": prompt_steps,
            "steps": steps,
        }
        run_folder.write(folder / "sample.json", json.dumps(content) + "\n")
        run_folder.write(folder / "sample.mid", midi(steps, REST, self.voices))

    def decode(self, tokens: Tensor) -> list[list[int]]:
        """Returns the complete time steps of a sequence. Unknown notes become rests."""
        assert isinstance(self.spec.input, Tokens)
        steps: list[list[int]] = []
        step: list[int] = []
        for word in (self.spec.input.vocabulary[k] for k in tokens.tolist()):
            if word == START:
                step = []  # A model can generate a start token in the middle of a step.
                continue
            step.append(int(word) if word.isdecimal() else REST)
            if len(step) == len(self.voices):
                steps.append(step)
                step = []
        return steps

    def split(self, parts: dict[Part, Records]) -> dict[Part, Records]:
        records: dict[Part, Any] = super().split(parts)
        shifts = range(-self.transpose, self.transpose + 1)
        records["train"] = [copy for shift in shifts for piece in records["train"] for copy in transpose(piece, shift)]
        return records

    def _token_to_index(self) -> dict[str, int]:
        assert isinstance(self.spec.input, Tokens)
        return {word: k for k, word in enumerate(self.spec.input.vocabulary) if k >= len(SPECIAL)}


def transpose(piece: Piece, semitones: int) -> Iterator[Piece]:
    """Yields the transposed piece, unless it would leave the MIDI range."""
    steps = [[pitch if pitch == REST else pitch + semitones for pitch in step] for step in piece.steps]
    if all(pitch == REST or 0 <= pitch < PITCHES for step in steps for pitch in step):
        yield piece._replace(steps=steps)


def chorales() -> Iterator[Piece]:
    """Yields Bach's four-part chorales in the order of Riemenschneider's edition. Takes about a minute.

    Raises:
        InputError: if ``music21`` is not installed.
    """
    try:
        from music21 import corpus
    except ImportError:
        raise InputError("data=music requires data.path, or the package music21: install primer[music]") from None
    for score in corpus.chorales.Iterator():
        yield from four_part_piece(score)


def four_part_piece(score: Any) -> Iterator[Piece]:
    """Yields a ``music21`` score as a piece on the grid, if it has four parts."""
    voices = [quantize(part.flatten().notesAndRests) for part in score.parts]
    if len(voices) == 4:
        steps = zip_longest(*voices, fillvalue=REST)
        yield Piece(str(score.metadata.title), [list(step) for step in steps])


def quantize(notes: Iterable[Any]) -> list[int]:
    """Returns the pitch at each sixteenth note, given the ``music21`` notes and rests of a voice."""
    pitches: list[int] = []
    for note in notes:
        start, end = (int(-(-4 * beats // 1)) for beats in (note.offset, note.offset + note.quarterLength))
        pitches += [REST] * (end - len(pitches))
        for step in range(start, end):
            pitches[step] = REST if note.isRest else max(pitch.midi for pitch in note.pitches)
    return pitches
