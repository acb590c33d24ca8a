"""Word vectors: saved, judged and drawn by a run, and questions to them on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import primer
from primer import __main__
from primer.data.readers.word_vectors import WordVectors, format_vectors, read_vectors
from primer.errors import InputError
from primer.reports.word_vectors import choose_words, draw_word_vectors

QUICK = ("model.vector_size=8", "trainer.max_epochs=1", "accelerator=cpu", "~callbacks.report", "~callbacks.pictures")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a text, word similarities and analogies."""
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "text.txt").write_text("the king and the queen . the man and the woman . " * 60)
    (tmp_path / "embeddings/wordsim353.tsv").write_text("king\tqueen\t9\nman\twoman\t8\nking\twoman\t3\nking\tx\t3\n")
    (tmp_path / "embeddings/questions-words.txt").write_text("man king woman queen\nman king woman zebra\n")
    return tmp_path


def test_a_run_saves_judges_and_draws_vectors(folder: Path, run_in_process, capfd) -> None:
    settings = ("model=word2vec", "data.path=text.txt", f"paths.data_dir={folder}")
    result = run_in_process("train.py", *settings, *QUICK, "callbacks.word_vectors.words=[king,queen,man,woman]")
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test/similarity_coverage"] == 0.75
    assert metrics["test/analogies_coverage"] == 0.5
    assert -1 <= metrics["test/similarity"] <= 1
    table = read_vectors(result.folder / "vectors.txt")
    assert (table.vectors == primer.load(result.folder).table().vectors).all()  # type: ignore[operator]
    assert (result.folder / "pictures/word_vectors.png").stat().st_size > 5000
    evaluation = run_in_process("evaluate.py", f"run={result.folder}", f"paths.data_dir={folder}")
    assert json.loads((evaluation.folder / "metrics.json").read_text())["test/similarity"] == metrics["test/similarity"]
    assert __main__.main(["neighbors", str(result.folder), "king", "man", "count=2"]) == 0
    assert capfd.readouterr().out.startswith("king: ")
    assert __main__.main(["analogy", str(result.folder), "man", "king", "woman"]) == 0
    assert capfd.readouterr().out.startswith("man is to king as woman is to: ")


def test_there_is_nothing_to_predict_or_export(folder: Path, run_in_process, capfd) -> None:
    result = run_in_process("train.py", "model=word2vec", f"data.path={folder}/text.txt", *QUICK)
    assert result.status == 0, result.err
    with pytest.raises(InputError, match="learns word vectors and predicts nothing"):
        primer.load(result.folder).predict(["a king"])
    assert __main__.main(["export", str(result.folder)]) == 2
    assert "use vectors.txt of its run folder" in capfd.readouterr().err


def test_without_files_the_metrics_are_left_out(folder: Path, run_in_process) -> None:
    settings = ("model=word2vec", f"data.path={folder}/text.txt", f"paths.data_dir={folder}/none")
    result = run_in_process("train.py", *settings, *QUICK)
    assert result.status == 0, result.err
    assert not any("similarity" in name or "analogies" in name for name in json.loads(
        (result.folder / "metrics.json").read_text()
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("callbacks.word_vectors.similarities=none.tsv", "there is no file none.tsv"),
        ("callbacks.word_vectors.words=[quene]", "'quene' does not have a vector; did you mean queen?"),
        ("callbacks.word_vectors.projection=umap", "projection must be one of pca, tsne"),
        ("model.negative=0", "negative=0 leaves no loss"),
        ("trainer.gradient_clip_val=1", "sparse gradients cannot be clipped"),
        ("optimizer=adam", "does not support sparse gradients"),
    ],
)
def test_settings_that_cannot_be_honored_are_rejected(setting: str, message: str, folder: Path, run_in_process) -> None:
    settings = ("model=word2vec", "data.path=text.txt", f"paths.data_dir={folder}")
    result = run_in_process("train.py", *settings, *QUICK, setting)
    assert result.status == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["neighbors"], "usage: python -m primer neighbors"),
        (["neighbors", "vectors.txt", "kng"], "'kng' does not have a vector; did you mean king?"),
        (["neighbors", "none.txt", "king"], "cannot be read"),
        (["neighbors", ".", "king"], "has no vectors.txt: a run of model=word2vec"),
        (["analogy", "vectors.txt", "king", "man"], "usage: python -m primer analogy"),
        (["neighbors", "vectors.txt", "king", "count=0"], "count must be an integer of at least 1"),
    ],
)
def test_wrong_questions_are_rejected(arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[1:2] == ["vectors.txt"]:
        table = WordVectors(("king", "man", "woman"), np.eye(3, dtype=np.float32))
        (tmp_path / "vectors.txt").write_text(format_vectors(table))
    assert __main__.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_words_are_drawn_near_similar_words(projection: str) -> None:
    generator = np.random.default_rng(0)
    words = [f"word{k}" for k in range(20)]
    vectors = np.repeat(np.eye(2, 5), 10, axis=0) + 0.01 * generator.normal(size=(20, 5))
    (axes,) = draw_word_vectors(words, vectors, projection).axes
    points = axes.collections[0].get_offsets()
    middles = points[:10].mean(0), points[10:].mean(0)
    spread = max(np.linalg.norm(points[k] - middles[k // 10]) for k in range(20))
    assert np.linalg.norm(middles[0] - middles[1]) > spread
    assert [text.get_text() for text in axes.texts] == words
    assert choose_words(["the", "of", "king", "a1b2", "queen"]) == ["king", "queen"]
