"""Word embeddings to start from: those of an earlier run of any model, or of a file of word vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from primer.checkpoints import reading
from primer.data.readers.vocabulary import SPECIAL
from primer.data.readers.word_vectors import read_vectors
from primer.errors import InputError
from primer.models.base import Model
from primer.models.embeddings.word_vectors import WordVectorModel
from primer.spec import Spec, Tokens

SETTINGS = ("embeddings", "freeze_embeddings")
"""Settings of a model that the run applies; they are not arguments of its class, so that a checkpoint needs no other
file."""


class Embeddings(NamedTuple):
    """Words, and their vectors ``(words, size)``.

    Attributes:
        source: where they come from, for messages.
        words: the words, without padding and unknown words.
        vectors: the vectors.
    """

    source: str
    words: tuple[str, ...]
    vectors: Tensor

    @property
    def tokens(self) -> Tokens:
        """The vocabulary."""
        return Tokens((*SPECIAL, *self.words))

    def rows(self, vocabulary: tuple[str, ...]) -> list[int | None]:
        """Returns the row of each entry of a vocabulary: that of the word, or else of the word in lower case."""
        known = {word: row for row, word in enumerate(self.words)}
        return [
            None if k < len(SPECIAL) else known.get(word, known.get(word.lower())) for k, word in enumerate(vocabulary)
        ]


def read_embeddings(source: str) -> Embeddings:
    """Reads word embeddings.

    Args:
        source: a run folder or a checkpoint of a model of words, or a file of word vectors.

    Raises:
        InputError: if there is no such file, it cannot be read, or the model does not embed words.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists():
        raise InputError(f"model.embeddings={source}: there is no such run folder or file of word vectors")
    if path.is_file() and path.suffix != ".ckpt":
        table = read_vectors(path)
        return Embeddings(source, table.words, torch.from_numpy(table.vectors))
    model = reading.load(path)
    assert isinstance(model.spec.input, Tokens) or not isinstance(model, WordVectorModel)
    vectors = model.vectors() if isinstance(model, WordVectorModel) else token_embedding(model, source).weight
    words = getattr(model.spec.input, "vocabulary", ())
    return Embeddings(source, words[len(SPECIAL) :], vectors.detach()[len(SPECIAL) :])


def token_embedding(model: Model, source: str = "") -> torch.nn.Embedding:
    """Returns the layer that embeds the words of a model's inputs.

    Raises:
        InputError: if the model does not have one.
    """
    layer = model.token_embedding()
    if layer is None:
        reason = f"model.embeddings={source}: " if source else "model.embeddings and model.freeze_embeddings: "
        raise InputError(f"{reason}{type(model).__name__} does not embed words of this data")
    return layer


def copy_embeddings(model: Model, embeddings: Embeddings) -> None:
    """Copies vectors into the word embedding of a model, by word. Other words start from random vectors with the mean
    and the standard deviation of the given ones.

    Raises:
        InputError: if the vectors have another size, or no word of the model has one.
    """
    layer = token_embedding(model)
    assert isinstance(model.spec.input, Tokens)
    size, own = embeddings.vectors.shape[1], layer.embedding_dim
    if size != own:
        hint = f"model.embedding_size={size}" if "embedding_size" in model.hparams else f"that size to {size}"
        raise InputError(
            f"model.embeddings={embeddings.source} has vectors of size {size}, but {type(model).__name__} embeds words "
            f"in {own} dimensions: set {hint}"
        )
    rows = embeddings.rows(model.spec.input.vocabulary)
    found = torch.tensor([row is not None for row in rows])
    if not found.any():
        raise InputError(f"model.embeddings={embeddings.source} has a vector for no word of this data")
    std, mean = torch.std_mean(embeddings.vectors, dim=0, correction=0)
    weight = layer.weight.detach()
    new = torch.randn(weight.shape) * std + mean
    new[found] = embeddings.vectors[[row for row in rows if row is not None]]
    if layer.padding_idx is not None:
        new[layer.padding_idx] = 0
    weight.copy_(new)


def describe_embeddings(model: Model, embeddings: Embeddings) -> str:
    """Describes how many words of a model start from the vectors."""
    assert isinstance(model.spec.input, Tokens)
    rows = embeddings.rows(model.spec.input.vocabulary)[len(SPECIAL) :]
    return f"{embeddings.source}, {sum(row is not None for row in rows):,} of {len(rows):,} words"


def check_embedding_settings(config: Mapping[str, Any]) -> None:
    """Raises ``InputError`` if the settings contradict each other."""
    settings = config["model"]
    if settings.get("embeddings") is not None and config["weights"] is not None:
        raise InputError(
            "model.embeddings has no effect with weights=…, which have embeddings of their own: leave it out"
        )
    if settings.get("freeze_embeddings") and settings.get("embeddings") is None and config["weights"] is None:
        raise InputError("model.freeze_embeddings=true would keep random vectors: set model.embeddings or weights, too")


def adopted_vocabulary(config: Mapping[str, Any], spec: Spec) -> Tokens | None:
    """Returns the vocabulary that the data of an earlier run had adopted from pretrained weights; None if it had not.

    Args:
        config: the config of the run.
        spec: the spec in its checkpoint.
    """
    pretrained = config.get("weights") is not None or config["model"].get("embeddings") is not None
    return spec.input if pretrained and isinstance(spec.input, Tokens) else None
