"""Synthetic opinions for sentiment classification, in which word counts hardly reveal the class."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from primer.data.base import Part, Records
from primer.data.text.text_classification import LabeledText, LabeledTexts
from primer.errors import InputError

# The weighted expansions of each symbol. An item of an expansion is another symbol, a category of words, or a word.
# Items that end in + have the same polarity as the whole, those that end in - the opposite one.
GRAMMAR: dict[str, list[str]] = {
    "opinion": ["4 claim+ .", "4 contrast+ .", "2 others+ .", "1 claim+ and claim+ ."],
    # Of two contradicting claims, the main or the last one decides.
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
    # What others say or what was expected is not the writer's opinion.
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
"""Positive and negative words."""

NEUTRAL: dict[str, str] = {
    "aspect": "plot acting music food service room view staff story ending dialogue soup waiter screen camera cast",
    "is_was": "is was",
    "has_had": "has had",
    "degree": "very so really quite simply truly",
    "denied": "not never hardly",
}

LABELS = ("negative", "positive")


class Opinions(LabeledTexts):
    """Sentences from a probabilistic grammar, alternating between the classes: ``the plot is dull , but the acting is
    superb .`` is ``positive``, ``i would never call the soup good .`` is ``negative``.

    The class depends on negation, contrast and who speaks. Each category of words is nearly as frequent in both
    classes, so that a model has to take word order into account. Sentences are unique.

    Args:
        sentences: number of sentences.
        data_seed: seed of the sentences.
        **kwargs: see ``primer.data.text.text_classification.LabeledTexts``.

    Raises:
        InputError: if ``sentences`` is less than 2.
    """

    tokenizer = "words"
    lowercase = True

    def __init__(self, *, sentences: int = 5000, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sentences < 2:
            raise InputError(f"sentences must be at least 2, not {sentences}")
        self.sentences, self.data_seed = sentences, data_seed

    def read(self) -> dict[Part, Records]:
        generator = random.Random(self.data_seed)
        texts: dict[tuple[str, ...], LabeledText] = {}
        while len(texts) < self.sentences:
            positive = len(texts) % 2 == 1
            words = tuple(expand("opinion", positive, generator))
            texts.setdefault(words, LabeledText(words, LABELS[positive]))
        return {"train": list(texts.values())}


def expand(symbol: str, positive: bool, generator: random.Random) -> list[str]:
    """Expands a symbol of the grammar at random to words of the given polarity."""
    if symbol in POLAR:
        return [generator.choice(POLAR[symbol][not positive].split())]
    if symbol in NEUTRAL:
        return [generator.choice(NEUTRAL[symbol].split())]
    if symbol not in GRAMMAR:
        return [symbol]
    expansions, weights = weighted_expansions(symbol)
    items = generator.choices(expansions, weights)[0]
    return [word for item in items for word in expand(item.rstrip("+-"), positive != item.endswith("-"), generator)]


@cache
def weighted_expansions(symbol: str) -> tuple[list[list[str]], list[int]]:
    """Returns the expansions of a symbol, and their weights."""
    rules = [rule.split() for rule in GRAMMAR[symbol]]
    return [rule[1:] for rule in rules], [int(rule[0]) for rule in rules]
