"""Words with their letters: encoding, batches, and learning."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.readers.vocabulary import Spellings, indices, padded, vocabulary
from primer.data.text.conllu import CoNLLU
from primer.data.text.tagging import Sentence, Tagging
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.regularization import WordDropout
from primer.spec import PADDING, UNKNOWN, Spec, Tags, Tokens


class ListedSentences(Tagging):
    """Given sentences, whose tags are the case of their first letter."""

    def __init__(self, train: list[str], test: list[str], **settings: Any) -> None:
        super().__init__(val_fraction=0, **settings)
        self.texts = {"train": train, "test": test}

    def read(self) -> dict[Any, Any]:
        return {
            part: [
                Sentence(tuple(text.split()), ("UP" if text[0].isupper() else "LOW",) * len(text.split()))
                for text in texts
            ]
            for part, texts in self.texts.items()
        }


def batches(data: Tagging, part: Any, **settings: Any) -> list[Batch]:
    return list(data.loader(part, train=False, **settings))


def test_words_come_with_their_letters() -> None:
    data = ListedSentences(["Ab b", "b"], ["b ca", "Ab"], characters=True).prepare()
    tokens = Tokens(("<pad>", "<unk>", "b", "Ab"), ("<pad>", "<unk>", "A", "b"))
    assert data.spec.input == tokens
    (train,) = batches(data, "train", bucket=False)
    assert train.inputs.tolist() == [[[3, 2, 3], [2, 3, PADDING]], [[2, 3, PADDING], [PADDING] * 3]]
    (test,) = batches(data, "test", bucket=False)
    assert test.inputs.tolist() == [
        [[2, 3, PADDING], [UNKNOWN, UNKNOWN, UNKNOWN]],
        [[3, 2, 3], [PADDING, PADDING, PADDING]],
    ]


def test_words_without_letters() -> None:
    data = ListedSentences(["Ab b", "b"], ["b ca", "Ab"]).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "b", "Ab"))
    assert data.batch_transform() is None
    assert data.parts["test"].inputs.tolist() == [[2, UNKNOWN], [3, PADDING]]


def test_lowercase_keeps_the_case_of_letters() -> None:
    data = ListedSentences(["Ab ab", "b"], ["AB"], characters=True, lowercase=True).prepare()
    assert data.spec.input.vocabulary[2:] == ("ab", "b")  # type: ignore[union-attr]
    (train,) = batches(data, "train", bucket=False)
    assert train.inputs[0, :, 0].tolist() == [2, 2]
    assert not torch.equal(train.inputs[0, 0, 1:], train.inputs[0, 1, 1:])


@pytest.mark.parametrize(
    ("length", "expected"), [(1, "a"), (2, "ag"), (3, "abg"), (6, "abcefg"), (7, "abcdefg"), (9, "abcdefg")]
)
def test_long_words_keep_their_first_and_last_letters(length: int, expected: str) -> None:
    letters = ("<pad>", "<unk>", *"abcdefg")
    spellings = Spellings(Tokens(vocabulary(["abcdefg"], 1), letters), length)
    ((row,),) = spellings.rows([["abcdefg"]])
    spelled = spellings.table[row, 1:]
    assert "".join(letters[letter] for letter in spelled if letter) == expected
    assert len(spelled) == length


def test_batches_are_cut_to_their_longest_word() -> None:
    spellings = Spellings(Tokens(vocabulary(["abc"], 1), ("<pad>", "<unk>", *"abc")), 20)
    rows = torch.tensor(spellings.rows([["abc", "a"]]))
    assert spellings.unpack(Batch(rows)).inputs.shape == (1, 2, 4)
    assert spellings.unpack(Batch(rows[:, 1:])).inputs.shape == (1, 1, 2)
    assert spellings.unpack(Batch(rows[:0])).inputs.shape == (0, 2, 2)


def test_rows_of_different_lengths_are_padded() -> None:
    assert padded([[7], [], [1, 2, 3]], 9).tolist() == [[7, 9, 9], [9, 9, 9], [1, 2, 3]]
    assert padded([], 9).shape == (0, 0)


@pytest.mark.parametrize("characters", [True, False])
def test_words_spelled_like_special_tokens_are_unknown(characters: bool) -> None:
    assert indices([["<pad>", "b", "<unk>"]], vocabulary(["<pad>", "<unk>", "b", "<pad>"], 1)) == [[1, 2, 1]]
    data = ListedSentences(["b <pad> b", "b"], ["<unk> <pad>"], characters=characters).prepare()
    assert data.spec.input.vocabulary == ("<pad>", "<unk>", "b")  # type: ignore[union-attr]
    for part, words in (("train", [[2, UNKNOWN, 2], [2, 0, 0]]), ("test", [[UNKNOWN, UNKNOWN]])):
        (batch,) = batches(data, part, bucket=False)
        assert (batch.inputs[..., 0] if characters else batch.inputs).tolist() == words


@pytest.mark.parametrize("setting", ["min_count", "word_length"])
def test_numbers_less_than_one_are_rejected(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} must be at least 1, not 0"):
        ListedSentences([], [], **{setting: 0})


def test_word_dropout_keeps_the_letters() -> None:
    data = ListedSentences(["Ab b", "b"], ["b"], characters=True, augmentation=WordDropout(1.0), batch_size=4).prepare()
    (batch,) = data.loader("train", train=True)
    assert set(batch.inputs[..., 0].flatten().tolist()) == {UNKNOWN, PADDING}
    assert batch.inputs[..., 1:].max() == 3
    assert (batch.inputs[..., 0] == PADDING).sum() == 1


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_models_generalize_to_unknown_words_from_letters(characters: Any, quiet_trainer: Any) -> None:
    alphabets = {True: "SXQ", False: "sxq"}
    generator = torch.Generator().manual_seed(0)

    def words(count: int) -> list[str]:
        picks = torch.randint(0, 3, (count, 6), generator=generator).tolist()
        return ["".join(alphabets[k % 2 == 0][pick] for pick in row) for k, row in enumerate(picks)]

    spellings = words(900)
    known = set(spellings[:600])
    test = [word for word in spellings[600:] if word not in known]
    data = ListedSentences(
        spellings[:600], test, characters=True, batch_size=16, augmentation=WordDropout(0.5)
    ).prepare()
    torch.manual_seed(0)
    model = LSTM(data.spec, embedding_size=4, hidden_size=8, characters=characters, character_size=8)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.02)
    trainer = quiet_trainer(max_epochs=3)
    trainer.fit(model, data)
    (result,) = trainer.test(model, data, verbose=False)
    assert len(test) > 50
    assert result["test/accuracy_unknown"] == result["test/accuracy"] > 0.95  # Chance level is 0.5.


def test_brown_with_letters_is_small(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    folder = data_dir_or_skip("pos/brown-train.conllu").parents[1]
    files = {part: f"pos/brown-{part}.conllu" for part in ("train", "dev", "test")}
    started = time.process_time()
    data = CoNLLU(**files, data_dir=folder, characters=True, batch_size=32).prepare()
    seconds = time.process_time() - started
    spellings = data._spellings
    assert spellings is not None
    size = sum(part.nbytes for part in data.parts.values()) + spellings.table.nbytes  # type: ignore[union-attr]
    loader = iter(data.loader("train", train=True))
    started, words = time.process_time(), 0
    for _ in range(100):
        batch = next(loader)
        words += int((batch.inputs[..., 0] != PADDING).sum())
    speed = words / (time.process_time() - started)
    record_figure(f"Brown with letters: {seconds:.1f} s, {size / 1e6:.0f} MB, {speed / 1e6:.1f} million words/s")
    assert isinstance(data.spec, Spec)
    assert isinstance(data.spec.target, Tags)
    assert spellings.table.shape[1] == 21
    assert size < 250e6
