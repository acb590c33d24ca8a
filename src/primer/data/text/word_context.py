"""Running text for word vectors: each word with the words around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.loader import Loader
from primer.data.readers.lines import find_file, read_text
from primer.data.readers.vocabulary import token_to_index, vocabulary
from primer.data.text.conllu import read_conllu
from primer.data.text.encoding import tokenize
from primer.data.text.text import python_documentation
from primer.data.text.word_runs import WordRunLoader
from primer.errors import InputError
from primer.spec import Context, Spec, Tokens

PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
END_OF_SENTENCE = {".", "!", "?"}


class RunningText(DataModule):
    """Base class of data sets for word vectors, whose samples are sentences of any text.

    A text file is split into paragraphs at empty lines, and those into words and punctuation, as by ``data=text_
    classification``; a sentence ends after a full stop, an exclamation mark or a question mark. A file that ends in
    ``.conllu`` has sentences of its own, whose tags are not read.

    Args:
        path: a UTF-8 file, or several. A relative path is looked up in ``data_dir``, then in the current folder. None
            takes the Python documentation that ``help()`` prints.
        lowercase: whether to ignore the case of words.
        min_count: minimum number of occurrences for a word to get a vector. Rarer words are removed, so that the words
            on both sides become neighbors, as in word2vec.
        **kwargs: see ``primer.data.base.DataModule``. ``train_size`` and fractions refer to sentences.

    Raises:
        InputError: if ``min_count`` is less than 1; when the data is read, if a file is missing, empty or not UTF-8, or
            no word is frequent enough.
    """

    inputs = Tokens

    def __init__(
        self,
        *,
        path: str | Sequence[str] | None = None,
        lowercase: bool = True,
        min_count: int = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min_count < 1:
            raise InputError(f"min_count must be at least 1, not {min_count}")
        self.paths = [path] if isinstance(path, str) else list(path or ())
        self.lowercase, self.min_count = lowercase, min_count

    def read_sentences(self) -> list[list[str]]:
        """Returns the words of each sentence of all files."""
        if not self.paths:
            return list(split_sentences(python_documentation(), self.lowercase))
        return [sentence for path in self.paths for sentence in self._read_file(path)]

    def tokens(self, sentences: Iterable[Sequence[str]]) -> Tokens:
        """Returns the input type, whose vocabulary is the words that are frequent enough."""
        words = vocabulary(chain.from_iterable(sentences), self.min_count, self.known_words)
        if len(words) < 4:
            raise InputError(
                f"fewer than two words occur {self.min_count} times: lower data.min_count or use more text"
            )
        return Tokens(words, tokenizer="words", lowercase=self.lowercase)

    def _read_file(self, path: str) -> list[list[str]]:
        file = find_file(path, self.data_dir, "data.path names text or CoNLL-U files")
        if file.suffix == ".conllu":
            words = (list(sentence.words) for sentence in read_conllu(file, None))
            return [[word.lower() for word in each] for each in words] if self.lowercase else list(words)
        sentences = list(split_sentences(read_text(file), self.lowercase))
        if not sentences:
            raise InputError(f"{file}, line 1: the file has no text")
        return sentences


class WordContext(RunningText):
    """Words and the words around them, for ``model=word2vec``.

    Args:
        sample: threshold of subsampling: of a word with relative frequency ``f`` in the training part, a fraction of
            ``sqrt(sample / f) + sample / f`` is kept in each epoch (Mikolov et al. 2013b, section 2.3, as implemented
            in word2vec). 0 keeps all words. Validation and test keep all words.
        **kwargs: see ``RunningText``. ``batch_size`` and ``eval_batch_size`` are numbers of words.

    Raises:
        InputError: if ``sample`` is negative.
    """

    targets = Context

    def __init__(self, *, sample: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if sample < 0:
            raise InputError(f"sample must be at least 0, not {sample}")
        self.sample = sample

    def read(self) -> dict[Part, Records]:
        return {"train": self.read_sentences()}

    def fit_spec(self, train: list[list[str]]) -> Spec:
        tokens = self.tokens(train)
        counts = np.bincount(encode_words(train, tokens.vocabulary)[0], minlength=len(tokens.vocabulary))
        return Spec(tokens, Context(tuple(counts.tolist())))

    def encode(self, records: list[list[str]]) -> Batch:
        assert isinstance(self.spec.input, Tokens)
        words, sentences = encode_words(records, self.spec.input.vocabulary)
        return Batch(torch.from_numpy(words), torch.from_numpy(sentences))

    def loader(self, part: Part, train: bool, bucket: bool = True) -> Loader:
        data, settings = self.parts[part], self.placement()
        assert isinstance(data, Batch)
        if not train:
            return WordRunLoader(data, self.eval_batch_size, **settings)
        assert isinstance(self.spec.target, Context)
        keep = keep_probabilities(self.spec.target.occurrences, self.sample)
        size = max(1, data.size) if isinstance(self.batch_size, str) else self.batch_size
        return WordRunLoader(data, size, keep=keep, **settings)


def split_sentences(text: str, lowercase: bool = True) -> Iterator[list[str]]:
    """Yields the words and punctuation of each sentence of a text."""
    for paragraph in PARAGRAPH.split(text.replace("\r\n", "\n")):
        sentence: list[str] = []
        for token in tokenize(paragraph, lowercase):
            sentence.append(token)
            if token in END_OF_SENTENCE:
                yield sentence
                sentence = []
        if sentence:
            yield sentence


def encode_words(sentences: list[list[str]], words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of all words that are in a vocabulary, ``(words,)``, and the numbers of their sentences."""
    known = token_to_index(words)
    flat = np.fromiter((known.get(word, -1) for sentence in sentences for word in sentence), dtype=np.int64)
    numbers = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
    return flat[flat >= 0], numbers[flat >= 0]


def keep_probabilities(occurrences: Sequence[int], sample: float) -> Tensor:
    """Returns the probability with which each word is kept, ``(vocabulary,)``."""
    frequencies = torch.tensor(occurrences, dtype=torch.float64)
    frequencies /= max(1, frequencies.sum().item())
    if not sample:
        return torch.ones(len(frequencies))
    ratio = sample / frequencies.clamp(min=1e-30)
    return (ratio.sqrt() + ratio).clamp(max=1).float()
