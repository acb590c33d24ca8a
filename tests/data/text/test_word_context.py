"""Running text for word vectors: sentences, vocabulary, subsampling and runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from primer.data.text.word_context import WordContext, keep_probabilities, split_sentences
from primer.data.text.word_runs import sentence_aligned
from primer.errors import InputError
from primer.spec import Context, Tokens

CONLLU = "1\tDogs\tdog\t_\t_\t_\t_\t_\t_\t_\n2\tbark\tbark\t_\t_\t_\t_\t_\t_\t_\n\n"


def data(folder: Path, text: str, **settings) -> WordContext:
    (folder / "text.txt").write_text(text)
    return WordContext(**{"path": "text.txt", "data_dir": folder, "min_count": 1, **settings}).prepare()


def test_sentences_end_at_marks_and_empty_lines() -> None:
    text = "One two.\nThree\nfour? Five\n\nsix\r\n \r\nseven"
    assert list(split_sentences(text)) == [["one", "two", "."], ["three", "four", "?"], ["five"], ["six"], ["seven"]]
    assert next(split_sentences(text, lowercase=False))[0] == "One"


def test_several_files_and_untagged_conllu(tmp_path: Path) -> None:
    (tmp_path / "some.conllu").write_text(CONLLU * 20)
    read = data(tmp_path, "a cat . " * 20, path=["some.conllu", "text.txt"])
    assert isinstance(read.spec.input, Tokens)
    assert set(read.spec.input.vocabulary[2:]) == {"dogs", "bark", "a", "cat", "."}
    assert sum(read.sizes().values()) == 20 * 2 + 20 * 3


def test_rare_words_are_removed_and_occurrences_are_counted(tmp_path: Path) -> None:
    read = data(tmp_path, "the cat . " * 50 + "the dog .", min_count=5, test_fraction=0.2)
    assert isinstance(read.spec.input, Tokens)
    assert isinstance(read.spec.target, Context)
    assert "dog" not in read.spec.input.vocabulary
    train = read.parts["train"].inputs  # type: ignore[union-attr]
    assert torch.bincount(train, minlength=5).tolist() == list(read.spec.target.occurrences)
    assert (train > 1).all()


def test_frequent_words_are_left_out_at_random_in_training_alone(tmp_path: Path) -> None:
    read = data(tmp_path, "the the the cat sat . " * 3000, sample=0.05, batch_size=100)
    assert isinstance(read.spec.target, Context)
    loader = read.loader("train", train=True)
    epochs = [torch.cat([batch.inputs for batch in loader]) for _ in range(2)]
    occurrences = torch.tensor(read.spec.target.occurrences).double()
    expected = keep_probabilities(read.spec.target.occurrences, 0.05)
    for words in epochs:
        kept = torch.bincount(words, minlength=len(occurrences)).double() / occurrences
        assert torch.allclose(kept[2:], expected[2:].double(), atol=0.02)
    assert not torch.equal(epochs[0][:500], epochs[1][:500])
    whole = torch.cat([batch.inputs for batch in read.loader("test", train=False)])
    assert torch.equal(whole, read.parts["test"].inputs)  # type: ignore[union-attr]


def test_the_formula_of_subsampling() -> None:
    frequency = 0.5
    assert keep_probabilities((0, 0, 1, 1), 0.01)[2] == pytest.approx((0.01 / frequency) ** 0.5 + 0.01 / frequency)
    assert (keep_probabilities((0, 0, 5, 95), 0) == 1).all()


def test_every_epoch_has_the_same_number_of_batches_of_about_the_same_size(tmp_path: Path) -> None:
    loader = data(tmp_path, "a b c d e f g h . " * 2000, sample=0.05, batch_size=128).loader("train", train=True)
    for _ in range(3):
        sizes = [batch.size for batch in loader]
        assert len(sizes) == len(loader)
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= 132


def test_runs_in_evaluation_are_whole_sentences() -> None:
    sentences = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 5])
    assert sentence_aligned(sentences, 5) == [0, 5, 11, 12]
    assert sentence_aligned(sentences, 100) == [0, 12]
    assert sentence_aligned(torch.zeros(0, dtype=torch.long), 5) == [0]


def test_the_embedded_text_needs_no_file() -> None:
    sizes = WordContext().prepare().sizes()
    assert sizes["train"] > 50_000


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        ({"min_count": 9}, "a b c . ", "fewer than two words occur 9 times: lower data.min_count"),
        ({}, " \n", "the file has no text"),
        ({"path": "other.txt"}, "a", "there is no file other.txt"),
        ({"sample": -1}, "a", "sample must be at least 0"),
        ({"min_count": 0}, "a", "min_count must be at least 1"),
    ],
)
def test_invalid_settings_and_files_are_rejected(settings: dict, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        data(tmp_path, text * 3, **settings)
