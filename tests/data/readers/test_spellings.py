"""Words with their letters: what is kept, what a batch holds, and that it learns."""

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


class Some(Tagging):
    """Sentences of a test."""

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


def test_each_word_comes_with_its_letters() -> None:
    data = Some(["Ab b", "b"], ["b ca", "Ab"], characters=True).prepare()
    tokens = Tokens(("<pad>", "<unk>", "b", "Ab"), ("<pad>", "<unk>", "A", "b"))
    assert data.spec.input == tokens
    (train,) = batches(data, "train", bucket=False)
    assert train.inputs.tolist() == [[[3, 2, 3], [2, 3, PADDING]], [[2, 3, PADDING], [PADDING] * 3]]
    (test,) = batches(data, "test", bucket=False)
    assert test.inputs.tolist() == [
        [[2, 3, PADDING], [UNKNOWN, UNKNOWN, UNKNOWN]],
        [[3, 2, 3], [PADDING, PADDING, PADDING]],
    ]


def test_without_letters_nothing_changes() -> None:
    data = Some(["Ab b", "b"], ["b ca", "Ab"]).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "b", "Ab"))
    assert data.batch_transform() is None
    assert data.parts["test"].inputs.tolist() == [[2, UNKNOWN], [3, PADDING]]


def test_the_case_of_letters_stays_where_that_of_words_goes() -> None:
    data = Some(["Ab ab", "b"], ["AB"], characters=True, lowercase=True).prepare()
    assert data.spec.input.vocabulary[2:] == ("ab", "b")  # type: ignore[union-attr]
    (train,) = batches(data, "train", bucket=False)
    assert train.inputs[0, :, 0].tolist() == [2, 2]
    assert not torch.equal(train.inputs[0, 0, 1:], train.inputs[0, 1, 1:])


@pytest.mark.parametrize(
    ("length", "read"), [(1, "a"), (2, "ag"), (3, "abg"), (6, "abcefg"), (7, "abcdefg"), (9, "abcdefg")]
)
def test_a_long_word_is_its_start_and_its_end(length: int, read: str) -> None:
    letters = ("<pad>", "<unk>", *"abcdefg")
    some = Spellings(Tokens(vocabulary(["abcdefg"], 1), letters), length)
    ((row,),) = some.rows([["abcdefg"]])
    spelled = some.table[row, 1:]
    assert "".join(letters[letter] for letter in spelled if letter) == read
    assert len(spelled) == length


def test_a_batch_is_as_wide_as_its_longest_word_and_an_empty_one_has_letters_too() -> None:
    some = Spellings(Tokens(vocabulary(["abc"], 1), ("<pad>", "<unk>", *"abc")), 20)
    rows = torch.tensor(some.rows([["abc", "a"]]))
    assert some.unpack(Batch(rows)).inputs.shape == (1, 2, 4)
    assert some.unpack(Batch(rows[:, 1:])).inputs.shape == (1, 1, 2)
    assert some.unpack(Batch(rows[:0])).inputs.shape == (0, 2, 2)


def test_rows_of_unequal_length_are_filled_up() -> None:
    assert padded([[7], [], [1, 2, 3]], 9).tolist() == [[7, 9, 9], [9, 9, 9], [1, 2, 3]]
    assert padded([], 9).shape == (0, 0)


@pytest.mark.parametrize("characters", [True, False])
def test_words_that_are_written_like_special_tokens_are_unknown(characters: bool) -> None:
    assert indices([["<pad>", "b", "<unk>"]], vocabulary(["<pad>", "<unk>", "b", "<pad>"], 1)) == [[1, 2, 1]]
    data = Some(["b <pad> b", "b"], ["<unk> <pad>"], characters=characters).prepare()
    assert data.spec.input.vocabulary == ("<pad>", "<unk>", "b")  # type: ignore[union-attr]
    for part, words in (("train", [[2, UNKNOWN, 2], [2, 0, 0]]), ("test", [[UNKNOWN, UNKNOWN]])):
        (batch,) = batches(data, part, bucket=False)
        assert (batch.inputs[..., 0] if characters else batch.inputs).tolist() == words


@pytest.mark.parametrize("setting", ["min_count", "word_length"])
def test_numbers_under_one_are_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} must be at least 1, not 0"):
        Some([], [], **{setting: 0})


def test_word_dropout_leaves_the_letters() -> None:
    data = Some(["Ab b", "b"], ["b"], characters=True, augmentation=WordDropout(1.0), batch_size=4).prepare()
    (batch,) = data.loader("train", train=True)
    assert set(batch.inputs[..., 0].flatten().tolist()) == {UNKNOWN, PADDING}
    assert batch.inputs[..., 1:].max() == 3
    assert (batch.inputs[..., 0] == PADDING).sum() == 1


@pytest.mark.parametrize("characters", ["cnn", "lstm"])
def test_letters_tell_words_that_were_never_seen(characters: Any, quiet_trainer: Any) -> None:
    kinds = {True: "SXQ", False: "sxq"}
    chance = torch.Generator().manual_seed(0)

    def words(count: int) -> list[str]:
        picks = torch.randint(0, 3, (count, 6), generator=chance).tolist()
        return ["".join(kinds[k % 2 == 0][pick] for pick in row) for k, row in enumerate(picks)]

    some = words(900)
    known = set(some[:600])
    test = [word for word in some[600:] if word not in known]
    data = Some(some[:600], test, characters=True, batch_size=16, augmentation=WordDropout(0.5)).prepare()
    torch.manual_seed(0)
    model = LSTM(data.spec, embedding_size=4, hidden_size=8, characters=characters, character_size=8)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.02)
    trainer = quiet_trainer(max_epochs=3)
    trainer.fit(model, data)
    (result,) = trainer.test(model, data, verbose=False)
    assert len(test) > 50
    assert result["test/accuracy_unknown"] == result["test/accuracy"] > 0.95  # Half of them are right by chance.


def test_brown_with_its_letters_takes_little_time_and_memory(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    folder = data_dir_or_skip("pos/brown-train.conllu").parents[1]
    files = {part: f"pos/brown-{part}.conllu" for part in ("train", "dev", "test")}
    started = time.process_time()
    data = CoNLLU(**files, data_dir=folder, characters=True, batch_size=32).prepare()
    seconds = time.process_time() - started
    spellings = data._spellings
    assert spellings is not None
    kept = sum(part.nbytes for part in data.parts.values()) + spellings.table.nbytes  # type: ignore[union-attr]
    loader = iter(data.loader("train", train=True))
    started, words = time.process_time(), 0
    for _ in range(100):
        batch = next(loader)
        words += int((batch.inputs[..., 0] != PADDING).sum())
    speed = words / (time.process_time() - started)
    record_figure(f"Brown with letters: {seconds:.1f} s, {kept / 1e6:.0f} MB, {speed / 1e6:.1f} million words a second")
    assert isinstance(data.spec, Spec)
    assert isinstance(data.spec.target, Tags)
    assert spellings.table.shape[1] == 21
    assert seconds < 15
    assert kept < 250e6
    assert speed > 300_000
