"""Word embeddings, optionally combined with character-level representations."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.layers.packing import pack, recur
from primer.models.layers.validation import check_choice, check_sizes
from primer.spec import PADDING, Tokens

Characters = Literal["none", "cnn", "lstm"]


class TokenEmbedding(nn.Module):
    """Embeds tokens, optionally concatenating a representation computed from their characters, which also describes
    unknown words.

    Args:
        tokens: the vocabularies of words and of characters.
        size: size of the word embedding.
        characters: character encoder: ``none``, ``cnn`` (Ma and Hovy 2016) or ``lstm`` (Lample et al. 2016).
        character_size: size of the character-level representation.
        sparse: whether the gradient of the word embedding is sparse, with rows only for the tokens of the batch.

    Attributes:
        features: size of the concatenated vector.

    Raises:
        InputError: if a size is less than 1, the encoder is unknown, or the data does not provide characters.
    """

    def __init__(
        self, tokens: Tokens, size: int, characters: Characters = "none", character_size: int = 50, sparse: bool = False
    ) -> None:
        super().__init__()
        check_sizes(embedding_size=size, character_size=character_size)
        check_choice("characters", characters, ("none", *CHARACTER_ENCODERS))
        if characters != "none" and not tokens.characters:
            raise InputError(
                f"characters={characters} needs the characters of each word, which this data set does not provide: "
                "use data=pos_tags, conllu or bio with data.characters=true"
            )
        self.words = nn.Embedding(len(tokens.vocabulary), size, padding_idx=PADDING, sparse=sparse)
        self.words.weight.sparse = sparse  # type: ignore[attr-defined]  # Read by primer.optim.SparseAdam.
        self.letters = None
        if characters != "none":
            self.letters = CHARACTER_ENCODERS[characters](len(tokens.characters), character_size)
        self.features = size + (character_size if self.letters is not None else 0)

    def forward(
        self, tokens: Int[Tensor, "batch time"] | Int[Tensor, "batch time word"]
    ) -> Float[Tensor, "batch time features"]:
        """Embeds ``(batch, time)`` word indices, or ``(batch, time, 1 + characters)`` word indices, each followed by
        the character indices of the word."""
        if tokens.ndim == 2:
            return self.words(tokens)
        words, characters = tokens[..., 0], tokens[..., 1:]
        word_vectors = self.words(words)
        if self.letters is None:
            return word_vectors
        real = words != PADDING
        character_vectors = word_vectors.new_zeros(*words.shape, self.features - word_vectors.shape[-1])
        if torch.compiler.is_exporting():  # A graph cannot select a number of words that it does not know.
            described = self.letters(characters.flatten(0, 1)).unflatten(0, words.shape)
            character_vectors = torch.where(real[..., None], described, character_vectors)
        else:
            character_vectors[real] = self.letters(characters[real]).to(character_vectors.dtype)
        return torch.cat([word_vectors, character_vectors], dim=-1)


class CharacterCNN(nn.Module):
    """Convolves over three characters at a time and max-pools over the word (Ma and Hovy 2016, section 2.1)."""

    def __init__(self, num_characters: int, size: int, embedding_size: int = 30) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PADDING)
        self.filters = nn.Conv1d(embedding_size, size, kernel_size=3, padding=1)

    def forward(self, characters: Int[Tensor, "words characters"]) -> Float[Tensor, "words size"]:
        responses = self.filters(self.embedding(characters).transpose(1, 2))
        # Mask padding, so that the result does not depend on the longest word of the batch.
        return responses.masked_fill((characters == PADDING)[:, None], float("-inf")).amax(dim=2)


class CharacterLSTM(nn.Module):
    """Concatenates the final states of a forward and a backward LSTM over the characters (Lample et al. 2016,
    section 4.1)."""

    def __init__(self, num_characters: int, size: int, embedding_size: int = 30) -> None:
        super().__init__()
        if size % 2:
            raise InputError(f"character_size must be even with characters=lstm (half per direction), not {size}")
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=PADDING)
        self.lstm = nn.LSTM(embedding_size, size // 2, batch_first=True, bidirectional=True)

    def forward(self, characters: Int[Tensor, "words characters"]) -> Float[Tensor, "words size"]:
        lengths = (characters != PADDING).sum(1).clamp(min=1)
        hidden = recur(self.lstm, pack(self.embedding(characters), lengths))[1][0]
        return torch.cat([hidden[0], hidden[1]], dim=-1)


CHARACTER_ENCODERS: dict[str, type[CharacterCNN] | type[CharacterLSTM]] = {"cnn": CharacterCNN, "lstm": CharacterLSTM}
