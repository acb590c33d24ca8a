"""Sentences with a tag for each word: vocabulary, encoding, and the baseline that knows no context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.readers.vocabulary import SPECIAL, Spellings, indices, padded, vocabulary
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, UNSEEN, Spec, Tags, Tokens


class Sentence(NamedTuple):
    """Words and their tags, as many; and, for messages, the file and the line of each word, where there is a file."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    file: str = ""
    lines: tuple[int, ...] = ()


class Tagging(DataModule):
    """The base of data sets whose samples are tagged sentences. A subclass says how its sentences are read.

    The vocabulary is that of the training part. Any other word is unknown.

    Args:
        min_count: how often a word must stand in the training part to have an entry of its own. From 2 on, rarer
            words teach the model what to make of an unknown one.
        lowercase: whether words that differ in case alone are the same.
        unseen_tags: what is done about tags outside of the training part: ``refuse`` them, or count each as ``wrong``,
            since no model can have learnt it.
        characters: whether each word comes with its spelling, in letters of the training part: what a model can know
            an unknown word by. Its case is kept, whatever ``lowercase``.
        word_length: the most letters of a spelling. A longer word is its first half of them and its last half.
        kwargs: as in ``primer.data.base.DataModule``.

    Raises:
        ValueError: for a count or a length under 1.
    """

    inputs = Tokens
    targets = Tags

    def __init__(
        self,
        *,
        min_count: int = 1,
        lowercase: bool = False,
        unseen_tags: Literal["refuse", "wrong"] = "refuse",
        characters: bool = False,
        word_length: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, number in (("min_count", min_count), ("word_length", word_length)):
            if number < 1:
                raise InputError(f"{name} must be at least 1, not {number}")
        self.min_count, self.lowercase, self.unseen_tags = min_count, lowercase, unseen_tags
        self.characters, self.word_length = characters, word_length
        self._spellings: Spellings | None = None

    def fit_spec(self, train: list[Sentence]) -> Spec:
        words = vocabulary((word for sentence in train for word in self._words(sentence)), self.min_count)
        tags = sorted({tag for sentence in train for tag in sentence.tags})
        if self.unseen_tags == "wrong":
            tags.append(UNSEEN)
        letters: tuple[str, ...] = ()
        if self.characters:
            letters = (*SPECIAL, *sorted(set().union(*{word for sentence in train for word in sentence.words})))
        tokens = Tokens(words, letters)
        self._spellings = Spellings(tokens, self.word_length, self.lowercase) if self.characters else None
        return Spec(tokens, Tags(tuple(tags)))

    def encode(self, records: list[Sentence]) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Tags)
        tags = {tag: k for k, tag in enumerate(self.spec.target.names)}
        self._check_tags(records, tags)
        if self._spellings:
            inputs = self._spellings.rows(sentence.words for sentence in records)
        else:
            inputs = indices((self._words(sentence) for sentence in records), self.spec.input.vocabulary)
        targets = [[tags.get(tag, len(tags) - 1) for tag in sentence.tags] for sentence in records]
        lengths = torch.tensor([len(sentence.words) for sentence in records], dtype=torch.int64)
        return Batch(padded(inputs, PADDING), padded(targets, IGNORE), lengths)

    def batch_transform(self) -> Callable[[Batch], Batch] | None:
        return self._spellings.unpack if self._spellings else None

    def _words(self, sentence: Sentence) -> tuple[str, ...]:
        return tuple(word.lower() for word in sentence.words) if self.lowercase else sentence.words

    def _check_tags(self, records: list[Sentence], known: dict[str, int]) -> None:
        if self.unseen_tags == "wrong":
            return
        for sentence in records:
            for k, (word, tag) in enumerate(zip(sentence.words, sentence.tags, strict=True)):
                if tag not in known:
                    place = f"{sentence.file}, line {sentence.lines[k]}: " if sentence.lines else ""
                    raise InputError(
                        f"{place}the tag {tag!r} of {word!r} does not occur in {self.describe_training_set()}; "
                        "data.unseen_tags=wrong counts such tags as mistakes"
                    )


def most_frequent_tag_accuracy(train: Batch, test: Batch) -> float:
    """The share of words in ``test`` that have the tag which they most often have in ``train``: how far one comes
    without context. A word that ``train`` does not hold is given the tag that most words have."""
    words, tags = _real(train)
    counts = np.zeros((int(max(train.inputs.max(), test.inputs.max())) + 1, int(tags.max()) + 1), dtype=np.int64)
    np.add.at(counts, (words, tags), 1)
    guesses = np.where(counts.any(axis=1), counts.argmax(axis=1), counts.sum(axis=0).argmax())
    words, tags = _real(test)
    return float((guesses[words] == tags).mean())


def _real(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The words and tags of a batch in two flat arrays, without padding."""
    assert batch.targets is not None
    counted = batch.targets != IGNORE
    return batch.inputs[counted].numpy(), batch.targets[counted].numpy()
