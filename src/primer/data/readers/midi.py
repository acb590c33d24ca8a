"""Pieces on a grid of sixteenth notes as MIDI files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from primer.errors import InputError

TICKS = 120
"""Of a sixteenth note, four of which are a beat."""

BEAT = 750_000
"""Microseconds of a beat: 80 in a minute."""

VELOCITY = 80
CHANNELS = [k for k in range(16) if k != 9]
"""All but that of the drums."""


def midi(steps: Sequence[Sequence[int]], rest: int, voices: Sequence[str]) -> bytes:
    """A MIDI file with a track for each voice. A pitch that stays from one step to the next is one long note.

    Args:
        steps: the pitch of each voice at each sixteenth note.
        rest: what stands for silence.
        voices: their names, one at least.

    Raises:
        InputError: where ``mido`` is not installed.
    """
    try:
        import mido
    except ImportError:
        raise InputError("a MIDI file needs the package mido: install primer[music]") from None
    file = mido.MidiFile(type=1, ticks_per_beat=4 * TICKS, charset="utf-8")
    for k, name in enumerate(voices):
        track = file.add_track(name)
        if not k:
            track.append(mido.MetaMessage("set_tempo", tempo=BEAT))
        silence = 0
        for pitch, same in groupby(step[k] for step in steps):
            length = TICKS * len(list(same))
            if pitch == rest:
                silence += length
                continue
            sound: dict[str, Any] = {"note": pitch, "velocity": VELOCITY, "channel": CHANNELS[k % len(CHANNELS)]}
            track.append(mido.Message("note_on", time=silence, **sound))
            track.append(mido.Message("note_off", time=length, **sound))
            silence = 0
        track.append(mido.MetaMessage("end_of_track", time=silence))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()
