"""Character and subword tokenizers. Tokens are substrings of the text, so joining them restores the text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from primer.data.readers.vocabulary import SPECIAL
from primer.errors import InputError
from primer.spec import UNKNOWN

WORDS = r" ?\w+| ?[^\s\w]+|\s+(?!\S)|\s"
"""Pre-tokenization pattern: a word or a run of punctuation, with the space before it, or whitespace."""

REPLACEMENT = "\ufffd"
"""The text of padding and unknown tokens."""


class Tokenizer(ABC):
    """Base class of tokenizers.

    Attributes:
        words: the tokens in order of their indices, without padding and unknown.
    """

    words: tuple[str, ...]

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """Returns the indices, ``(tokens,)``. Each character that is not in the vocabulary is one unknown token."""

    def decode(self, tokens: Tensor) -> str:
        """Returns the text of ``(tokens,)`` indices."""
        known = len(SPECIAL)
        return "".join(self.words[k - known] if k >= known else REPLACEMENT for k in tokens.tolist())


class Characters(Tokenizer):
    """Character tokenizer.

    Args:
        text: non-empty text that defines the alphabet.
        known: characters that are in the alphabet in any case, and come first.
    """

    def __init__(self, text: str, known: Iterable[str] = ()) -> None:
        self.words = tuple(dict.fromkeys([*known, *sorted(set(text))]))
        codes = np.array([ord(word) for word in self.words], dtype="<u4")
        self._order = codes.argsort()
        self._codes = codes[self._order]

    def encode(self, text: str) -> Tensor:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        positions = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        tokens = self._order[positions] + len(SPECIAL)
        return torch.from_numpy(np.where(self._codes[positions] == codes, tokens, UNKNOWN))


class Subwords(Tokenizer):
    """Byte pair encoding (Sennrich, Haddow and Birch 2016) over characters: repeatedly merges the most frequent pair of
    adjacent tokens into a new token. Tokens do not cross word boundaries.

    Args:
        text: text to train the tokenizer on.
        size: vocabulary size, including padding and unknown.

    Raises:
        InputError: if the vocabulary is too small for the characters of the text, or ``tokenizers`` is not installed.
    """

    def __init__(self, text: str, size: int) -> None:
        try:
            import tokenizers
            from tokenizers import models, pre_tokenizers, trainers
        except ImportError:
            raise InputError("level=subword requires the package tokenizers: install primer[text]") from None
        alphabet = sorted(set(text))
        if size < len(alphabet) + len(SPECIAL):
            raise InputError(
                f"vocabulary_size={size} is too small: the text has {len(alphabet)} different characters, so at least "
                f"{len(alphabet) + len(SPECIAL)} entries are needed with padding and unknown"
            )
        split = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="isolated")
        trained = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
        trained.pre_tokenizer = split  # type: ignore[assignment]
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        trained.train_from_iterator(text.splitlines(keepends=True), trainer)
        state = json.loads(trained.to_str())["model"]
        # Rebuild the tokenizer: the trained one would map a literal "<unk>" in a text to its special token.
        merges = [tuple(pair) for pair in state["merges"]]
        self._tokenizer = tokenizers.Tokenizer(models.BPE(state["vocab"], merges, unk_token=SPECIAL[UNKNOWN]))
        self._tokenizer.pre_tokenizer = split  # type: ignore[assignment]
        self.words = tuple(sorted(state["vocab"], key=state["vocab"].__getitem__))[len(SPECIAL) :]

    def encode(self, text: str) -> Tensor:
        lines = self._tokenizer.encode_batch_fast(text.splitlines(keepends=True))
        return torch.tensor([k for line in lines for k in line.ids], dtype=torch.int64)
