"""Synthetic sentences for part-of-speech tagging, in which most words are ambiguous."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from primer.data.base import Part, Records
from primer.data.text.tagging import Sentence, Tagging
from primer.errors import InputError

# The weighted expansions of each symbol. An item of an expansion is another symbol, a category of words from LEXICON,
# or a word with its tag.
GRAMMAR: dict[str, list[str]] = {
    "sentence": ["8 statement ./PUNCT", "3 question ?/PUNCT", "2 order ./PUNCT", "1 order !/PUNCT"],
    "statement": [
        "6 clause",
        "1 clause conjunction clause",
        "1 clause subordinator clause",
        "1 subordinator clause ,/PUNCT clause",
        "1 preposition phrase ,/PUNCT clause",
        "1 adverb_first ,/PUNCT clause",
    ],
    "question": [
        "2 modal subject action",
        "1 do plural action",
        "1 does singular action",
        "1 who/PRON past_action",
        "1 who/PRON modal action",
        "1 what/PRON modal subject verb",
        "1 is/AUX singular adjective",
    ],
    "order": ["3 action", "1 do/AUX not/PART action"],
    # Clauses. Verb forms agree with their subjects.
    "clause": [
        "3 subject modal action",
        "2 subject past_action",
        "3 plural action",
        "3 singular present_action",
        "1 singular is_was adjective",
        "1 plural are_were adverb_degree adjective",
        "1 that/PRON is_was phrase",
        "1 subject thought that/SCONJ clause",
        "1 subject thought that/PRON",
        "1 plural hope to/PART action",
        "1 singular wanted to/PART action",
    ],
    "action": ["3 verb phrase", "2 verb phrase place", "1 verb phrase adverb_last", "1 verb her/PRON", "1 other"],
    "present_action": ["3 verb_s phrase", "2 verb_s phrase place", "1 verb_s phrase adverb_last", "1 verb_s her/PRON"],
    "past_action": ["3 verb_past phrase", "1 verb_past phrase place", "1 verb_past her/PRON", "1 went place"],
    "other": ["2 go place", "1 go adverb_last", "1 look like/ADP phrase"],
    "place": ["3 preposition phrase", "1 to/ADP phrase"],
    # Noun phrases.
    "subject": ["3 singular", "2 plural"],
    "phrase": ["4 singular_phrase", "2 plural_phrase", "1 name", "1 object_pronoun"],
    "singular": ["5 singular_phrase", "2 name", "2 pronoun_singular"],
    "plural": ["5 plural_phrase", "2 pronoun_plural"],
    "singular_phrase": [
        "6 determiner noun",
        "5 determiner adjective noun",
        "1 determiner adverb_degree adjective noun",
        "1 determiner noun relative",
        "1 determiner noun preposition determiner noun",
    ],
    "plural_phrase": [
        "4 determiner_plural noun_s",
        "4 determiner_plural adjective noun_s",
        "2 number noun_s",
        "1 number adjective noun_s",
        "1 determiner_plural noun_s relative_plural",
    ],
    "relative": ["1 that/PRON verb_s phrase", "1 that/PRON verb_past phrase", "1 that/PRON is_was adjective"],
    "relative_plural": ["1 that/PRON verb phrase", "1 that/PRON verb_past phrase", "1 that/PRON are_were adjective"],
}

# The tag and the words of each category. Possessives count as determiners. Everything is in lower case, including
# names, as in transcribed speech.
LEXICON: dict[str, tuple[str, str]] = {
    "noun": (
        "NOUN",
        "play run watch light plant cook guard fish water book saw can will round cold calm back hand park ship train "
        "mark rose bill step drink study answer judge match fast kind well past right dog garden",
    ),
    "noun_s": (
        "NOUN",
        "plays runs watches lights plants cooks guards books saws cans rounds backs hands parks ships trains marks "
        "roses bills steps drinks studies answers judges matches wills dogs gardens",
    ),
    "verb": (
        "VERB",
        "play run watch light plant cook guard fish water book saw can round calm dry clean like back hand park ship "
        "train mark bill step drink study answer judge match open right warm cool empty slow free near",
    ),
    "verb_s": (
        "VERB",
        "plays runs watches lights plants cooks guards books saws cans rounds backs hands parks ships trains marks "
        "bills steps drinks studies answers judges matches likes waters calms dries cleans opens",
    ),
    "verb_past": ("VERB", "saw found felt left lost kept met cut set shut put hit"),
    "adjective": (
        "ADJ",
        "light round cold calm dry clean back fast kind well past right open warm cool empty slow free near set cut "
        "shut lost found hard early late",
    ),
    "adverb_last": ("ADV", "fast hard early late back well right near down round so"),
    "adverb_first": ("ADV", "so then still now well"),
    "adverb_degree": ("ADV", "so very too still that"),
    "determiner": ("DET", "the the the a this that her his no"),
    "determiner_plural": ("DET", "the the the these her his no all"),
    "number": ("NUM", "two three four ten"),
    "name": ("PROPN", "mark rose bill will grace frank anna peter"),
    "pronoun_singular": ("PRON", "he she it this that"),
    "pronoun_plural": ("PRON", "they we you these all"),
    "object_pronoun": ("PRON", "him them it us this that"),
    "preposition": ("ADP", "in on with like near past round down before after since until"),
    "subordinator": ("SCONJ", "before after since until like so"),
    "conjunction": ("CCONJ", "and or but so"),
    "modal": ("AUX", "can can will will must may"),
    "do": ("AUX", "do did"),
    "does": ("AUX", "does did"),
    "is_was": ("AUX", "is was"),
    "are_were": ("AUX", "are were"),
    "go": ("VERB", "go come run walk fly"),
    "went": ("VERB", "went came ran walked flew"),
    "look": ("VERB", "look sound feel"),
    "thought": ("VERB", "thought knew felt saw found"),
    "hope": ("VERB", "hope want need like"),
    "wanted": ("VERB", "wanted needed liked left"),
}


class PosTags(Tagging):
    """Sentences from a probabilistic grammar, with the part of speech of each word in the tag set of Universal
    Dependencies (de Marneffe et al. 2021).

    ``light`` is a noun, a verb or an adjective, ``that`` a determiner, a pronoun, an adverb or a conjunction: the tag
    depends on the words on both sides. Sentences are unique, so no test sentence is in the training part.

    Args:
        sentences: number of sentences.
        data_seed: seed of the sentences.
        **kwargs: see ``primer.data.text.tagging.Tagging``.

    Raises:
        InputError: if ``sentences`` is less than 1.
    """

    def __init__(self, *, sentences: int = 5000, data_seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sentences < 1:
            raise InputError(f"sentences must be at least 1, not {sentences}")
        self.sentences, self.data_seed = sentences, data_seed

    def read(self) -> dict[Part, Records]:
        generator = random.Random(self.data_seed)
        sentences: dict[tuple[str, ...], Sentence] = {}
        while len(sentences) < self.sentences:
            words, tags = zip(*expand("sentence", generator), strict=True)
            sentences.setdefault(words, Sentence(words, tags))
        return {"train": list(sentences.values())}


def expand(symbol: str, generator: random.Random) -> list[tuple[str, str]]:
    """Expands a symbol of the grammar at random to words with their tags."""
    if "/" in symbol:
        word, tag = symbol.split("/")
        return [(word, tag)]
    if symbol in LEXICON:
        tag, words = LEXICON[symbol]
        return [(generator.choice(words.split()), tag)]
    expansions, weights = weighted_expansions(symbol)
    items = generator.choices(expansions, weights)[0]
    return [word for item in items for word in expand(item, generator)]


@cache
def weighted_expansions(symbol: str) -> tuple[list[list[str]], list[int]]:
    """Returns the expansions of a symbol, and their weights."""
    rules = [rule.split() for rule in GRAMMAR[symbol]]
    return [rule[1:] for rule in rules], [int(rule[0]) for rule in rules]
