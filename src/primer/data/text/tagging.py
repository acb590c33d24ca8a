"""Base class of sequence tagging data sets, and a context-free baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.readers.vocabulary import SPECIAL, Spellings, alphabetical, padded, vocabulary
from primer.data.text.encoding import encode_tokens, spelling_table
from primer.data.text.masking import Maskable
from primer.errors import InputError
from primer.spec import IGNORE, UNSEEN, Spec, Tags, Tokens


class Sentence(NamedTuple):
    """Words and one tag per word; for messages, also the file and the line of each word if read from a file."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    file: str = ""
    lines: tuple[int, ...] = ()


class Tagging(Maskable):
    """Base class of data sets of tagged sentences. A subclass defines ``read``.

    The vocabulary holds the words of the training part; any other word is unknown.

    Args:
        min_count: minimum number of occurrences in the training part for a word to enter the vocabulary. With 2 or
            more, rare words train the model's representation of unknown words.
        lowercase: whether to ignore the case of words.
        unseen_tags: how to treat tags that do not occur in the training part: ``error`` raises an error, ``wrong``
            counts them as mistakes, since no model can have learned them.
        characters: whether to provide the letters of each word too, from which a model can represent unknown words.
            Letters keep their case, whatever ``lowercase``.
        word_length: maximum number of letters. Of a longer word, the first and the last half of them are kept.
        **kwargs: see ``primer.data.text.masking.Maskable``.

    Raises:
        InputError: if ``min_count`` or ``word_length`` is less than 1.
    """

    inputs = Tokens
    targets = Tags

    def __init__(
        self,
        *,
        min_count: int = 1,
        lowercase: bool = False,
        unseen_tags: Literal["error", "wrong"] = "error",
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
        words = vocabulary(
            (word for sentence in train for word in self._words(sentence)), self.min_count, self.known_words
        )
        tags = sorted({tag for sentence in train for tag in sentence.tags})
        if self.unseen_tags == "wrong":
            tags.append(UNSEEN)
        letters: tuple[str, ...] = ()
        if self.characters:
            letters = alphabetical((word for sentence in train for word in sentence.words), SPECIAL, self.known_letters)
        tokens = Tokens(words, letters, lowercase=self.lowercase, word_length=self.word_length)
        self._spellings = spelling_table(tokens)
        return Spec(tokens, Tags(tuple(tags)))

    def encode(self, records: list[Sentence]) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        assert isinstance(self.spec.target, Tags)
        tags = {tag: k for k, tag in enumerate(self.spec.target.names)}
        self._check_tags(records, tags)
        targets = [[tags.get(tag, len(tags) - 1) for tag in sentence.tags] for sentence in records]
        batch = encode_tokens([sentence.words for sentence in records], self.spec.input, self._spellings)
        return batch._replace(targets=padded(targets, IGNORE))

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
                    location = f"{sentence.file}, line {sentence.lines[k]}: " if sentence.lines else ""
                    raise InputError(
                        f"{location}the tag {tag!r} of {word!r} does not occur in {self.describe_training_set()}; "
                        "set data.unseen_tags=wrong to count such tags as mistakes"
                    )


def count_tags(batches: Iterable[Batch], words: int, tags: int) -> Tensor:
    """Returns how often each word has each tag, ``(words, tags)``. If the inputs are not words, ``words`` is 1.

    Args:
        batches: batches of tagged sentences.
        words: size of the vocabulary.
        tags: number of tags.
    """
    counts = torch.zeros(words * tags, dtype=torch.long)
    for batch in batches:
        assert batch.targets is not None
        mask = batch.targets != IGNORE
        targets = batch.targets[mask]
        if words > 1:
            inputs = batch.inputs[..., 0] if batch.inputs.ndim == 3 else batch.inputs
            targets = inputs[mask] * tags + targets
        counts += torch.bincount(targets, minlength=len(counts)).cpu()
    return counts.view(words, tags)


def most_frequent_tag_accuracy(train: Batch, test: Batch) -> float:
    """Returns the accuracy on ``test`` of a baseline without context, which predicts the most frequent tag of each word
    in ``train``, and the most frequent tag overall for words that ``train`` does not contain."""
    assert train.targets is not None
    assert test.targets is not None
    words, tags = int(max(train.inputs.max(), test.inputs.max())) + 1, int(train.targets.max()) + 1
    counts = count_tags([train], words, tags)
    predictions = torch.where(counts.any(1), counts.argmax(1), counts.sum(0).argmax())
    mask = test.targets != IGNORE
    return (predictions[test.inputs[mask]] == test.targets[mask]).float().mean().item()
