"""Text as tokens: characters, or subwords. Each token is a piece of the text, so that tokens joined are the text."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from primer.data.readers.vocabulary import SPECIAL
from primer.errors import InputError
from primer.spec import UNKNOWN

WORDS = r" ?\w+| ?[^\s\w]+|\s+(?!\S)|\s"
"""What subwords are parts of: a word or a run of signs, with the blank before it, or white space."""

REPLACEMENT = "\ufffd"
"""What is written for a token that stands for none."""


class Tokenizer(ABC):
    """Attributes: ``words``, the tokens in the order of their indices, after padding and unknown."""

    words: tuple[str, ...]

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """``(tokens,)`` indices; a character that was never seen is an unknown token of its own."""

    def decode(self, tokens: Tensor) -> str:
        """The text of ``(tokens,)`` indices."""
        known = len(SPECIAL)
        return "".join(self.words[k - known] if k >= known else REPLACEMENT for k in tokens.tolist())


class Characters(Tokenizer):
    """Each character is a token.

    Args:
        text: from which the alphabet is taken; not empty.
    """

    def __init__(self, text: str) -> None:
        self.words = tuple(sorted(set(text)))
        self._codes = np.array([ord(word) for word in self.words], dtype="<u4")

    def encode(self, text: str) -> Tensor:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return torch.from_numpy(np.where(self._codes[places] == codes, places + len(SPECIAL), UNKNOWN))


class Subwords(Tokenizer):
    """Byte pair encoding (Sennrich, Haddow and Birch 2016), over characters: the pair of tokens that most often stands
    together becomes a token, again and again; no token reaches over the border of two words.

    Args:
        text: from which the tokens are learnt.
        size: of the vocabulary, padding and unknown among it.

    Raises:
        ValueError: where the vocabulary has no room for the characters of the text, or ``tokenizers`` is not installed.
    """

    def __init__(self, text: str, size: int) -> None:
        try:
            import tokenizers
            from tokenizers import models, pre_tokenizers, trainers
        except ImportError:
            raise InputError("level=subword needs the package tokenizers: install primer[text]") from None
        alphabet = sorted(set(text))
        if size < len(alphabet) + len(SPECIAL):
            raise InputError(
                f"vocabulary_size={size} is too small: the text has {len(alphabet)} characters, which with padding and "
                f"unknown are {len(alphabet) + len(SPECIAL)}"
            )
        split = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="isolated")
        learning = tokenizers.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
        learning.pre_tokenizer = split  # type: ignore[assignment]
        trainer = trainers.BpeTrainer(
            vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
        )
        learning.train_from_iterator(text.splitlines(keepends=True), trainer)
        learnt = json.loads(learning.to_str())["model"]
        # Made anew: the one that learnt would take "<unk>" in a text for its own token.
        merges = [tuple(pair) for pair in learnt["merges"]]
        self._tokenizer = tokenizers.Tokenizer(models.BPE(learnt["vocab"], merges, unk_token=SPECIAL[UNKNOWN]))
        self._tokenizer.pre_tokenizer = split  # type: ignore[assignment]
        self.words = tuple(sorted(learnt["vocab"], key=learnt["vocab"].__getitem__))[len(SPECIAL) :]

    def encode(self, text: str) -> Tensor:
        lines = self._tokenizer.encode_batch_fast(text.splitlines(keepends=True))
        return torch.tensor([k for line in lines for k in line.ids], dtype=torch.int64)
