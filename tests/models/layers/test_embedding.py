"""Word embeddings and character-level representations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from primer.errors import InputError
from primer.models.layers.embedding import TokenEmbedding
from primer.models.recurrent.lstm import LSTM
from primer.spec import UNKNOWN, Series, Spec, Tags, Tokens

TOKENS = Tokens(("<pad>", "<unk>", "ab", "b", "cab"), ("<pad>", "<unk>", *"abc"))
# "ab b", "cab" and "acc b", where "acc" is unknown: the index of each word, followed by its characters.
SENTENCES = torch.tensor([[[2, 2, 3, 0], [3, 3, 0, 0]], [[4, 4, 2, 3], [0, 0, 0, 0]], [[1, 2, 4, 4], [3, 3, 0, 0]]])


def build(characters: Any, tokens: Tokens = TOKENS) -> TokenEmbedding:
    torch.manual_seed(0)
    return TokenEmbedding(tokens, 6, characters, character_size=8)


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_word_and_character_vectors_are_concatenated(characters: str) -> None:
    embedding = build(characters)
    vectors = embedding(SENTENCES)
    assert vectors.shape == (3, 2, 14)
    assert embedding.features == 14
    torch.testing.assert_close(vectors[..., :6], embedding.words(SENTENCES[..., 0]))
    assert not vectors[1, 1].any()  # Padding.
    torch.testing.assert_close(vectors[0, 1], vectors[2, 1])  # The same word.


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_unknown_words_differ_by_their_characters(characters: str) -> None:
    embedding = build(characters)
    words = torch.tensor([[[UNKNOWN, 2, 3, 4], [UNKNOWN, 4, 3, 2]]])
    first, second = embedding(words)[0]
    assert torch.equal(first[:6], second[:6])
    assert not torch.allclose(first[6:], second[6:])


@pytest.mark.parametrize("initialization", ["default", "orthogonal"])
@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_character_padding_does_not_change_the_vectors(characters: Any, initialization: Any) -> None:
    torch.manual_seed(0)
    model = LSTM(Spec(TOKENS, Tags(("N", "V"))), characters=characters, initialization=initialization)
    embedding: Any = model.embedding
    padded = torch.nn.functional.pad(SENTENCES, (0, 5))
    torch.testing.assert_close(embedding(padded), embedding(SENTENCES))


def test_cnn_filters_span_three_characters() -> None:
    encoder = build("cnn").letters
    assert encoder is not None
    characters = torch.tensor([[2, 3, 4]])
    vectors = torch.nn.functional.pad(encoder.embedding(characters)[0].T, (1, 1))  # (embedding, 1 + 3 + 1)
    filters: Tensor = encoder.filters.weight  # type: ignore[union-attr,assignment]
    responses = torch.stack([(filters * vectors[:, k : k + 3]).sum((1, 2)) for k in range(3)], 1)
    expected = responses.amax(1) + encoder.filters.bias  # type: ignore[union-attr,operator]
    torch.testing.assert_close(encoder(characters)[0], expected)


def test_characters_are_ignored_by_default() -> None:
    plain = build("none")
    torch.testing.assert_close(plain(SENTENCES), plain(SENTENCES[..., 0]))
    assert plain.features == 6


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_a_model_learns_from_characters(characters: Any) -> None:
    torch.manual_seed(0)
    model = LSTM(Spec(TOKENS, Tags(("N", "V"))), characters=characters, character_size=8, hidden_size=5).eval()
    outputs = model(SENTENCES, torch.tensor([2, 1, 2]))
    assert outputs.shape == (3, 2, 2)
    torch.testing.assert_close(outputs[1:2, :1], model(SENTENCES[1:2, :1]))
    outputs[0, 0, 0].backward()
    assert model.embedding is not None
    assert all(parameter.grad is not None for parameter in model.embedding.letters.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: build("cnn", Tokens(("<pad>", "<unk>"))),
            "characters=cnn needs the characters of each word, which this data set does not provide: use data=pos_tags",
        ),
        (lambda: TokenEmbedding(TOKENS, 6, "lstm", character_size=5), "character_size must be even"),
        (
            lambda: LSTM(Spec(Series(3), Tags(("a", "b"))), characters="cnn"),
            "needs words, which this data set does not have",
        ),
        (lambda: TokenEmbedding(TOKENS, 6, "cnn", character_size=0), "character_size must be at least 1"),
    ],
)
def test_invalid_settings_are_errors(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
