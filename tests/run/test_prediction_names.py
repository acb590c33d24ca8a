"""Names of files that are not UTF-8."""

from __future__ import annotations

import os

from primer.run.prediction import printable


def test_bytes_that_are_not_utf8_are_escaped() -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    assert printable(name) == "caf\\udce9.wav"
    assert printable("café.wav") == "café.wav"
    assert printable(3) == 3
    assert printable(None) is None
