"""Converts pieces on a grid of sixteenth notes to MIDI files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from primer.errors import InputError

TICKS = 120
"""MIDI ticks per sixteenth note; a beat is four sixteenth notes."""

BEAT = 750_000
"""Microseconds per beat: 80 beats per minute."""

VELOCITY = 80
CHANNELS = [k for k in range(16) if k != 9]
"""All channels except the drum channel."""


def midi(steps: Sequence[Sequence[int]], rest: int, voices: Sequence[str]) -> bytes:
    """Returns a MIDI file with one track per voice. Equal pitches in consecutive steps are one long note.

    Args:
        steps: the pitch of each voice at each sixteenth note.
        rest: the value that represents silence.
        voices: the names of the voices, at least one.

    Raises:
        InputError: if ``mido`` is not installed.
    """
    try:
        import mido
    except ImportError:
        raise InputError("writing a MIDI file requires the package mido: install primer[music]") from None
    file = mido.MidiFile(type=1, ticks_per_beat=4 * TICKS, charset="utf-8")
    for k, name in enumerate(voices):
        track = file.add_track(name)
        if not k:
            track.append(mido.MetaMessage("set_tempo", tempo=BEAT))
        silence = 0
        for pitch, repeats in groupby(step[k] for step in steps):
            length = TICKS * len(list(repeats))
            if pitch == rest:
                silence += length
                continue
            note: dict[str, Any] = {"note": pitch, "velocity": VELOCITY, "channel": CHANNELS[k % len(CHANNELS)]}
            track.append(mido.Message("note_on", time=silence, **note))
            track.append(mido.Message("note_off", time=length, **note))
            silence = 0
        track.append(mido.MetaMessage("end_of_track", time=silence))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()
