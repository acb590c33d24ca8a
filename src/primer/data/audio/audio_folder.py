"""Classification of recordings in folders, one folder per class."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from primer.data.audio.reading import load_wav
from primer.data.audio.recordings import Recordings
from primer.data.audio.speakers import split_speakers
from primer.data.base import Part, Records
from primer.data.readers.folders import class_names, find_in_classes, summarize
from primer.data.readers.wav import CONVERT, OTHER_SUFFIXES, SUFFIXES
from primer.errors import InputError
from primer.records.console import say


class AudioFolder(Recordings):
    """WAV files in one folder per class; or in folders ``train``, ``val`` (or ``valid``, ``validation``) and ``test``
    with one folder per class each, where missing parts are held out from ``train`` as usual.

    Files may have any sample rate and length, integers of 8, 16, 24 or 32 bits or floats, and any number of channels,
    which are averaged. Hidden files and files of other kinds are ignored.

    Args:
        path: the folder.
        speaker: a regular expression whose first group finds the speaker in the name of a file, such as
            ``^([a-z]+)_``. The test part then consists of all recordings of the speaker ``fold``, in alphabetical
            order, and the validation part of those of the next ones.
        **kwargs: see ``Recordings``. With ``speaker``, ``val_fraction`` is a fraction of the speakers.

    Raises:
        InputError: when the data is read, if the folder does not exist or has another layout, or a file cannot be read.
    """

    def __init__(self, path: str | Path, speaker: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path, self.speaker = Path(path).expanduser(), None
        if speaker is not None:
            if self.folds is not None:
                raise InputError("data.speaker makes a fold for each speaker: set data.fold alone, without data.folds")
            try:
                self.speaker = re.compile(speaker)
            except re.error as error:
                raise InputError(f"data.speaker={speaker} is not a regular expression: {error}") from error
            if not self.speaker.groups:
                raise InputError(f"data.speaker={speaker} must have a group (…) for the name of the speaker")

    def read(self) -> dict[Part, Records]:
        files, empty, others = find_in_classes(self.path, SUFFIXES, "WAV files")
        if other := [name for name in others if Path(name).suffix.lower() in OTHER_SUFFIXES]:
            kind = Path(other[0]).suffix[1:].upper()
            more = f", nor {len(other) - 1} other files" if len(other) > 1 else ""
            raise InputError(f"{self.path / other[0]}: {kind} cannot be read{more}; {CONVERT}")
        if empty:
            raise InputError(f"class folders without WAV files: {summarize(empty)}; remove them")
        if others:
            say(f"note: {len(others)} files of {self.path} are not WAV files and left out ({summarize(others)})")
        self.names = class_names(self.path, files, "WAV files")
        index = {name: k for k, name in enumerate(self.names)}
        parts: dict[Part, Records] = {}
        for part, found in files.items():
            first = len(self.waveforms)
            self.waveforms += [load_wav(self.path / name, self.waveform) for name, _ in found]
            parts[part] = [(first + k, index[label]) for k, (_, label) in enumerate(found)]
        return parts if self.speaker is None else self._by_speaker(parts, [name for name, _ in files["train"]])

    def _by_speaker(self, parts: dict[Part, Records], names: list[str]) -> dict[Part, Records]:
        assert self.speaker is not None
        if len(parts) > 1:
            raise InputError(f"{self.path} is split into folders already: leave data.speaker out")
        speakers = []
        for name in names:
            match = self.speaker.search(Path(name).name)
            if match is None or not match.group(1):
                raise InputError(
                    f"{self.path / name}: data.speaker={self.speaker.pattern} finds no speaker in the name"
                )
            speakers.append(match.group(1))
        distinct, numbers = np.unique(speakers, return_inverse=True)
        divided = split_speakers(list(parts["train"]), numbers, distinct.tolist(), self.fold, self.val_fraction)
        known = set(self.labels(divided["train"]).tolist())
        for part, rows in divided.items():
            for missing in sorted(set(self.labels(rows).tolist()) - known)[:1]:
                raise InputError(
                    f"{self.path}: no speaker of the training part has {self.names[missing]!r}, but one of the {part} "
                    "part does"
                )
        return divided
