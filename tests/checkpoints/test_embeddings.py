"""Word embeddings that a model starts from, and the vocabulary that its data adopts from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import primer
from primer.checkpoints.embeddings import Embeddings, copy_embeddings
from primer.data.readers.word_vectors import WordVectors, format_vectors
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import NextToken, Spec, Tags, Tokens

LABELED = "text,label\n" + "".join(f"good film {k % 3} great,yes\nbad film {k % 3} awful,no\n" for k in range(40))
QUICK = (
    "model=lstm", "data=text_classification", "model.embedding_size=4", "model.hidden_size=4", "trainer.max_epochs=1",
    "accelerator=cpu", "~callbacks.pictures", "~callbacks.report",
)  # fmt: skip
WORDS = ("good", "bad", "film", "superb", "dreadful")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with labeled texts, and vectors of some of their words and of two others."""
    (tmp_path / "texts.csv").write_text(LABELED)
    vectors = np.random.default_rng(0).normal(size=(len(WORDS), 4)).astype(np.float32)
    (tmp_path / "vectors.txt").write_text(format_vectors(WordVectors(WORDS, vectors)))
    return tmp_path


def test_vectors_are_copied_by_word_and_others_are_drawn_like_them() -> None:
    words = ("<pad>", "<unk>", "Film", "film", *(f"w{k}" for k in range(500)))
    torch.manual_seed(0)
    model = LSTM(Spec(Tokens(words), Tags(("a", "b"))), embedding_size=2, hidden_size=4)
    copy_embeddings(model, Embeddings("some", ("film", "x"), torch.tensor([[10.0, 2.0], [30.0, 2.0]])))
    weight = model.token_embedding().weight  # type: ignore[union-attr]
    assert weight[2].tolist() == weight[3].tolist() == [10, 2]
    assert weight[0].tolist() == [0, 0]
    assert weight[4:].mean(0).tolist() == pytest.approx([20, 2], abs=1.5)
    assert weight[4:, 0].std().item() == pytest.approx(10, rel=0.1)
    assert weight[4:, 1].std().item() == pytest.approx(0, abs=1e-5)


def test_the_embedding_of_a_language_model_is_not_its_head() -> None:
    words = ("<pad>", "<unk>", "a")
    model = LSTM(Spec(Tokens(words), NextToken(words)), embedding_size=4, hidden_size=4)
    assert model.token_embedding() is model.embedding.words  # type: ignore[union-attr]


def test_words_of_a_file_are_known_and_can_be_frozen(folder: Path, run_in_process) -> None:
    settings = (f"data.train={folder}/texts.csv", f"model.embeddings={folder}/vectors.txt")
    result = run_in_process("train.py", *QUICK, *settings, "model.freeze_embeddings=true", "trainer.max_epochs=2")
    assert result.status == 0, result.err
    assert "3 of 8 words" not in result.out  # The two words that do not occur in the texts are known, too.
    model: Any = primer.load(result.folder)
    vocabulary = model.spec.input.vocabulary
    assert vocabulary[2:7] == WORDS
    lines = (folder / "vectors.txt").read_text().splitlines()[1:]
    expected = torch.tensor([[float(cell) for cell in line.split()[1:]] for line in lines])
    assert torch.equal(model.embedding.words.weight[2:7], expected)
    # Evaluation, resuming and loading need the vocabulary, but not the file.
    (folder / "vectors.txt").unlink()
    evaluation = run_in_process("evaluate.py", f"run={result.folder}")
    assert evaluation.status == 0, evaluation.err
    test_loss = json.loads((result.folder / "metrics.json").read_text())["test/loss"]
    assert json.loads((evaluation.folder / "metrics.json").read_text())["test/loss"] == pytest.approx(test_loss)
    resumed = run_in_process("train.py", f"resume={result.folder}", "trainer.max_epochs=3")
    assert resumed.status == 0, resumed.err
    assert torch.equal(primer.load(result.folder).embedding.words.weight[2:7], expected)  # type: ignore[union-attr]


def test_embeddings_of_a_run_of_another_class(folder: Path, run_in_process) -> None:
    (folder / "text.txt").write_text("a good film is superb . a bad film is dreadful . " * 40)
    common = ("trainer.max_epochs=1", "accelerator=cpu", "~callbacks.pictures", "~callbacks.report")
    source = run_in_process(
        "train.py", "model=word2vec", f"data.path={folder}/text.txt", "model.vector_size=4", *common
    )
    assert source.status == 0, source.err
    trained: Any = primer.load(source.folder)
    settings = (f"data.train={folder}/texts.csv", f"model.embeddings={source.folder}", "model.freeze_embeddings=true")
    result = run_in_process("train.py", *QUICK, *settings)
    assert result.status == 0, result.err
    model: Any = primer.load(result.folder)
    row = model.spec.input.vocabulary.index("superb")
    assert torch.equal(
        model.embedding.words.weight[row], trained.vectors()[trained.spec.input.vocabulary.index("superb")]
    )
    # The words of the first run are known in fine-tuning, even if they are not in its training part.
    tuned = run_in_process("train.py", f"weights={result.folder}", "data=text_classification", *QUICK[4:],
                           f"data.train={folder}/texts.csv", "data.train_size=2", "data.min_count=5")  # fmt: skip
    assert tuned.status == 0, tuned.err
    assert primer.load(tuned.folder).spec.input.vocabulary[: row + 1] == model.spec.input.vocabulary[: row + 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.embeddings=none.txt",), "there is no such run folder or file of word vectors"),
        (("model.embeddings=vectors.txt", "model.embedding_size=8"), "set model.embedding_size=4"),
        (("model.freeze_embeddings=true",), "would keep random vectors: set model.embeddings or weights"),
        (("model.embeddings=vectors.txt", "weights=vectors.txt"), "model.embeddings has no effect with weights"),
        (("model.embeddings=texts.csv",), "texts.csv"),
        (("model=mlp", "data=digits", "+model.embeddings=vectors.txt"), "MLP does not embed words"),
        (
            ("model=mlp", "data=digits", "+model.freeze_embeddings=true", "+model.embeddings=vectors.txt"),
            "MLP does not",
        ),
    ],
)
def test_embeddings_that_do_not_fit_are_rejected(
    settings: tuple[str, ...], message: str, folder: Path, run_in_process
) -> None:
    settings = tuple(part.replace("vectors.txt", f"{folder}/vectors.txt") for part in settings)
    settings = tuple(part.replace("=texts.csv", f"={folder}/texts.csv") for part in settings)
    own = (*QUICK, f"data.train={folder}/texts.csv") if "model=mlp" not in settings else ()
    result = run_in_process("train.py", *own, *settings)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_frozen_embeddings_stay_frozen_when_layers_are_unfrozen() -> None:
    model = LSTM(Spec(Tokens(("<pad>", "<unk>", "a")), Tags(("a", "b"))), embedding_size=2, hidden_size=4)
    model.freeze_embeddings()
    model.freeze_groups(2)
    model.freeze_groups(0)
    assert not model.token_embedding().weight.requires_grad  # type: ignore[union-attr]
    assert all(parameter.requires_grad for parameter in model.head.parameters())


def test_a_model_without_words_has_no_embedding_to_freeze() -> None:
    from primer.models.feedforward.linear import Linear
    from primer.spec import Classes, Vector

    with pytest.raises(InputError, match="Linear does not embed words"):
        Linear(Spec(Vector(2), Classes(("a", "b")))).freeze_embeddings()
