"""Opinions of a small grammar, in which praise has nearly as many words of blame as blame has."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from primer.data.base import Part, Records
from primer.data.text.text_classification import LabelledTexts, Text
from primer.errors import InputError

# Each symbol with the ways to write it out, each way with its weight. A piece is another symbol, a kind of word, or a
# word. One that ends with + has the opinion of the whole, one that ends with - the opposite.
GRAMMAR: dict[str, list[str]] = {
    "opinion": ["4 claim+ .", "4 contrast+ .", "2 others+ .", "1 claim+ and claim+ ."],
    # Of two claims that contradict each other, the main one or the last one decides.
    "contrast": [
        "3 claim- but claim+",
        "2 although claim- , claim+",
        "2 claim+ , although claim-",
        "1 despite its noun- , claim+",
        "1 claim+ despite its noun-",
        "1 at first claim- , but in the end claim+",
    ],
    "claim": [
        "4 the aspect is_was degree word+",
        "2 the aspect is_was word+",
        "4 the aspect is_was denied word-",
        "1 the aspect is_was anything but word-",
        "1 i would denied call the aspect word-",
        "1 nothing about the aspect is_was word-",
        "1 the aspect has_had noun+",
        "1 the aspect has_had no noun-",
        "1 the aspect is_was not without noun+",
    ],
    # What others say, or what was expected, is not what the writer thinks.
    "others": [
        "1 they call the aspect word- , and they are wrong",
        "1 they call the aspect word+ , and they are right",
        "1 i expected the aspect to be word- , and it was not",
        "1 i expected the aspect to be word+ , and it was",
    ],
}

POLAR: dict[str, tuple[str, str]] = {
    "word": (
        "good great fine brilliant lovely clever fresh charming superb warm funny moving bright elegant honest",
        "bad poor dull awful boring clumsy stale bland dreadful cold tedious weak grim cheap false",
    ),
    "noun": (
        "charm wit grace depth style energy warmth flair",
        "flaws gaps clichés faults holes weaknesses errors cracks",
    ),
}
"""Words of praise and of blame."""

NEUTRAL: dict[str, str] = {
    "aspect": "plot acting music food service room view staff story ending dialogue soup waiter screen camera cast",
    "is_was": "is was",
    "has_had": "has had",
    "degree": "very so really quite simply truly",
    "denied": "not never hardly",
}

LABELS = ("negative", "positive")


class Opinions(LabelledTexts):
    """Sentences that a probabilistic grammar generates, praise and blame in turn: ``the plot is dull , but the acting
    is superb .`` is ``positive``, ``i would never call the soup good .`` is ``negative``.

    Negation, contrast and who speaks decide. Each kind of word is nearly as frequent in both classes, so that to count
    words does not tell them apart, and to read them in their order does. No sentence occurs twice.

    Args:
        sentences: how many.
        data_seed: of the sentences.
        kwargs: as in ``primer.data.text.text_classification.LabelledTexts``.

    Raises:
        ValueError: for a number of sentences under 2.
    """

    def __init__(self, *, sentences: int = 5000, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sentences < 2:
            raise InputError(f"sentences must be at least 2, not {sentences}")
        self.sentences, self.data_seed = sentences, data_seed

    def read(self) -> dict[Part, Records]:
        chance = random.Random(self.data_seed)
        found: dict[tuple[str, ...], Text] = {}
        while len(found) < self.sentences:
            positive = len(found) % 2 == 1
            words = tuple(generate("opinion", positive, chance))
            found.setdefault(words, Text(words, LABELS[positive]))
        return {"train": list(found.values())}


def generate(symbol: str, positive: bool, chance: random.Random) -> list[str]:
    """What a symbol of the grammar may be written out to, where the whole is praise or blame."""
    if symbol in POLAR:
        return [chance.choice(POLAR[symbol][not positive].split())]
    if symbol in NEUTRAL:
        return [chance.choice(NEUTRAL[symbol].split())]
    if symbol not in GRAMMAR:
        return [symbol]
    ways, weights = expansions(symbol)
    pieces = chance.choices(ways, weights)[0]
    return [word for piece in pieces for word in generate(piece.rstrip("+-"), positive != piece.endswith("-"), chance)]


@cache
def expansions(symbol: str) -> tuple[list[list[str]], list[int]]:
    """The ways to write out a symbol, and their weights."""
    ways = [way.split() for way in GRAMMAR[symbol]]
    return [way[1:] for way in ways], [int(way[0]) for way in ways]
