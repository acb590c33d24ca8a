"""The vectors of words: looked up, and made of their letters."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from primer.errors import InputError
from primer.models.layers.blocks import check_sizes
from primer.spec import PADDING, Tokens

Characters = Literal["none", "cnn", "lstm"]


class TokenEmbedding(nn.Module):
    """A vector for each token, and beside it, where asked for, one that is made of its letters: what an unknown word
    is still known by.

    Args:
        tokens: the vocabulary, and that of the letters.
        size: the length of the vector that is looked up.
        characters: how letters are read: ``none``, ``cnn`` (Ma and Hovy 2016) or ``lstm`` (Lample et al. 2016).
        character_size: the length of the vector that is made of letters.
        sparse: whether the gradient holds only the tokens of a batch.

    Attributes:
        features: the length of both vectors together.

    Raises:
        ValueError: for a size under 1, an unknown name, or data without letters.
    """

    def __init__(
        self, tokens: Tokens, size: int, characters: Characters = "none", character_size: int = 50, sparse: bool = False
    ) -> None:
        super().__init__()
        check_sizes(embedding_size=size, character_size=character_size)
        if characters not in ("none", *SPELLINGS):
            raise InputError(f"characters must be one of none, {', '.join(SPELLINGS)}, not {characters!r}")
        if characters != "none" and not tokens.characters:
            raise InputError(
                f"characters={characters} reads the letters of words, which this data set does not spell: tagged words "
                "have them, data=pos_tags, conllu or bio with data.characters=true"
            )
        self.words = nn.Embedding(len(tokens.vocabulary), size, padding_idx=PADDING, sparse=sparse)
        self.words.weight.sparse = sparse  # type: ignore[attr-defined]  # primer.optim.SparseAdam looks here.
        self.letters = None
        if characters != "none":
            self.letters = SPELLINGS[characters](len(tokens.characters), character_size)
        self.features = size + (character_size if self.letters is not None else 0)

    def forward(
        self, tokens: Int[Tensor, "batch time"] | Int[Tensor, "batch time word"]
    ) -> Float[Tensor, "batch time features"]:
        """``(batch, time)`` indices of words in, or ``(batch, time, 1 + letters)`` with their spelling."""
        if tokens.ndim == 2:
            return self.words(tokens)
        words, letters = tokens[..., 0], tokens[..., 1:]
        vectors = self.words(words)
        if self.letters is None:
            return vectors
        real = words != PADDING
        spelled = vectors.new_zeros(*words.shape, self.features - vectors.shape[-1])
        spelled[real] = self.letters(letters[real]).to(spelled.dtype)
        return torch.cat([vectors, spelled], dim=-1)


class SpellingCNN(nn.Module):
    """The largest response of each filter to three letters in a row (Ma and Hovy 2016, section 2.1)."""

    def __init__(self, letters: int, size: int, letter_size: int = 30) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, letter_size, padding_idx=PADDING)
        self.filters = nn.Conv1d(letter_size, size, kernel_size=3, padding=1)

    def forward(self, letters: Int[Tensor, "words letters"]) -> Float[Tensor, "words size"]:
        responses = self.filters(self.embedding(letters).transpose(1, 2))
        # A word's response does not depend on how long the longest word of its batch is.
        return responses.masked_fill((letters == PADDING)[:, None], float("-inf")).amax(dim=2)


class SpellingLSTM(nn.Module):
    """The last states of an LSTM that reads the letters forward, and of one that reads them backward (Lample et al.
    2016, section 4.1)."""

    def __init__(self, letters: int, size: int, letter_size: int = 30) -> None:
        super().__init__()
        if size % 2:
            raise InputError(f"character_size must be even for characters=lstm, half of it a direction, not {size}")
        self.embedding = nn.Embedding(letters, letter_size, padding_idx=PADDING)
        self.lstm = nn.LSTM(letter_size, size // 2, batch_first=True, bidirectional=True)

    def forward(self, letters: Int[Tensor, "words letters"]) -> Float[Tensor, "words size"]:
        lengths = (letters != PADDING).sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.embedding(letters), lengths, batch_first=True, enforce_sorted=False)
        hidden = self.lstm(packed)[1][0]
        return torch.cat([hidden[0], hidden[1]], dim=-1)


SPELLINGS: dict[str, type[SpellingCNN] | type[SpellingLSTM]] = {"cnn": SpellingCNN, "lstm": SpellingLSTM}
