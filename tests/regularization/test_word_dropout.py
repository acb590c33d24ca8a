"""Word dropout."""

from __future__ import annotations

import pytest
import torch
from helpers.augmentation import seeded
from torch import Tensor

from primer.batch import Batch
from primer.cli.checks import check_command
from primer.data.text.opinions import Opinions
from primer.errors import InputError
from primer.regularization import WordDropout
from primer.spec import PADDING, UNKNOWN, Classes, Spec, Tokens

SPEC = Spec(Tokens(("<pad>", "<unk>", *"abcdefgh")), Classes(("no", "yes")))
WORDS = torch.arange(2, 10).repeat(400, 3)
WORDS[:, 20:] = PADDING


def drop_words(probability: float, words: Tensor = WORDS, seed: int = 0) -> Tensor:
    before = words.clone()
    targets, lengths = torch.zeros(len(words), dtype=torch.long), torch.full((len(words),), 20)
    augmented = WordDropout(probability)(Batch(words, targets, lengths), seeded(seed), SPEC)
    assert torch.equal(words, before)
    assert augmented.targets is targets
    assert augmented.lengths is lengths
    return augmented.inputs


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_words_become_unknown_with_the_given_probability(probability: float) -> None:
    augmented = drop_words(probability)
    dropped = augmented == UNKNOWN
    assert torch.equal(augmented[~dropped], WORDS[~dropped])
    assert (augmented[:, 20:] == PADDING).all()
    # 8000 words: four standard errors are under 0.02.
    assert dropped[:, :20].float().mean().item() == pytest.approx(probability, abs=0.02)


def test_words_are_dropped_independently() -> None:
    dropped = drop_words(0.5)[:, :20] == UNKNOWN
    assert len(dropped.unique(dim=0)) > 390
    assert len(dropped.T.unique(dim=0)) == 20
    assert 0.4 < dropped.float().mean(0).min() < dropped.float().mean(0).max() < 0.6
    assert torch.equal(drop_words(0.5), drop_words(0.5))
    assert not torch.equal(drop_words(0.5), drop_words(0.5, seed=1))


def test_letters_are_kept() -> None:
    spelled = torch.stack([WORDS, WORDS * 0 + 5, WORDS * 0 + 6], dim=-1)
    augmented = drop_words(0.5, spelled)
    assert torch.equal(augmented[..., 1:], spelled[..., 1:])
    dropped = augmented[..., 0] == UNKNOWN
    assert torch.equal(augmented[..., 0][~dropped], WORDS[~dropped])
    assert dropped[:, :20].float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert not dropped[:, 20:].any()


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_invalid_probabilities_are_rejected(probability: float) -> None:
    with pytest.raises(InputError, match=f"WordDropout: probability must be from 0 to 1, not {probability}"):
        WordDropout(probability)


def test_words_are_dropped_in_training_only() -> None:
    data = Opinions(sentences=200, augmentation=[WordDropout(0.5)]).prepare()
    assert not any((batch.inputs == UNKNOWN).any() for batch in data.loader("train", train=False))
    assert all((batch.inputs == UNKNOWN).any() for batch in data.loader("train", train=True))


GROUP = "regularization/augmentation"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=mlp", f"{GROUP}=word_dropout"], "word_dropout does not fit data=digits"),
        (["model=mlp", f"{GROUP}=noise"], "noise does not fit data=digits"),
        (["model=lstm", "data=opinions", f"{GROUP}=noise"], "noise does not fit data=opinions"),
        (["model=lstm", "data=opinions", f"{GROUP}=[word_dropout,flip]"], "flip expects inputs of type Image"),
    ],
)
def test_incompatible_data_is_rejected(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_command("train", overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=lstm", "data=opinions", f"{GROUP}=word_dropout"],
        ["model=lstm", f"{GROUP}=word_dropout", "regularization.augmentation.word_dropout.probability=0.3"],
        ["model=mlp", "data=iris", f"{GROUP}=noise", "regularization.augmentation.noise.std=0.3"],
    ],
)
def test_compatible_data_is_accepted(overrides: list[str]) -> None:
    check_command("train", overrides)
