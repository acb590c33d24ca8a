"""The vectors of words, looked up and made of letters."""

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
# "ab b", "cab" and an unknown "acc": a word's index, then its letters.
SPELLED = torch.tensor([[[2, 2, 3, 0], [3, 3, 0, 0]], [[4, 4, 2, 3], [0, 0, 0, 0]], [[1, 2, 4, 4], [3, 3, 0, 0]]])


def build(characters: Any, tokens: Tokens = TOKENS) -> TokenEmbedding:
    torch.manual_seed(0)
    return TokenEmbedding(tokens, 6, characters, character_size=8)


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_a_word_is_what_is_looked_up_and_what_is_spelled(characters: str) -> None:
    embedding = build(characters)
    vectors = embedding(SPELLED)
    assert vectors.shape == (3, 2, 14)
    assert embedding.features == 14
    torch.testing.assert_close(vectors[..., :6], embedding.words(SPELLED[..., 0]))
    assert not vectors[1, 1].any()  # Padding.
    torch.testing.assert_close(vectors[0, 1], vectors[2, 1])  # The same word.


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_unknown_words_differ_by_their_letters(characters: str) -> None:
    embedding = build(characters)
    words = torch.tensor([[[UNKNOWN, 2, 3, 4], [UNKNOWN, 4, 3, 2]]])
    one, other = embedding(words)[0]
    assert torch.equal(one[:6], other[:6])
    assert not torch.allclose(one[6:], other[6:])


@pytest.mark.parametrize("initialization", ["default", "orthogonal"])
@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_longer_words_beside_it_change_no_word(characters: Any, initialization: Any) -> None:
    torch.manual_seed(0)
    model = LSTM(Spec(TOKENS, Tags(("N", "V"))), characters=characters, initialization=initialization)
    embedding: Any = model.embedding
    longer = torch.nn.functional.pad(SPELLED, (0, 5))
    torch.testing.assert_close(embedding(longer), embedding(SPELLED))


def test_the_filters_see_three_letters() -> None:
    letters = build("cnn").letters
    assert letters is not None
    spelled = torch.tensor([[2, 3, 4]])
    vectors = torch.nn.functional.pad(letters.embedding(spelled)[0].T, (1, 1))  # (letter, 1 + 3 + 1)
    filters: Tensor = letters.filters.weight  # type: ignore[union-attr,assignment]
    responses = torch.stack([(filters * vectors[:, k : k + 3]).sum((1, 2)) for k in range(3)], 1)
    wanted = responses.amax(1) + letters.filters.bias  # type: ignore[union-attr,operator]
    torch.testing.assert_close(letters(spelled)[0], wanted)


def test_letters_are_left_out_where_nobody_asks() -> None:
    plain = build("none")
    torch.testing.assert_close(plain(SPELLED), plain(SPELLED[..., 0]))
    assert plain.features == 6


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_a_model_reads_letters(characters: Any) -> None:
    torch.manual_seed(0)
    model = LSTM(Spec(TOKENS, Tags(("N", "V"))), characters=characters, character_size=8, hidden_size=5).eval()
    outputs = model(SPELLED, torch.tensor([2, 1, 2]))
    assert outputs.shape == (3, 2, 2)
    torch.testing.assert_close(outputs[1:2, :1], model(SPELLED[1:2, :1]))
    outputs[0, 0, 0].backward()
    assert model.embedding is not None
    assert all(parameter.grad is not None for parameter in model.embedding.letters.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: build("cnn", Tokens(("<pad>", "<unk>"))),
            "characters=cnn reads the letters of words, which this data set does not spell: tagged words have them",
        ),
        (lambda: TokenEmbedding(TOKENS, 6, "lstm", character_size=5), "character_size must be even"),
        (lambda: LSTM(Spec(Series(3), Tags(("a", "b"))), characters="cnn"), "has no words"),
        (lambda: TokenEmbedding(TOKENS, 6, "cnn", character_size=0), "character_size must be at least 1"),
    ],
)
def test_refuses(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
