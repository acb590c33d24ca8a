"""Files of word vectors, and how vectors are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from primer.data.readers.word_vectors import (
    WordVectors,
    analogy_score,
    format_vectors,
    nearest,
    read_analogies,
    read_similarities,
    read_vectors,
    similarity_score,
)
from primer.errors import InputError

WORDS = ("king", "queen", "man", "woman", "apple")
TABLE = WordVectors(WORDS, np.array([[1, 1, 0], [1, 0, 1], [0.2, 1, 0], [0.2, 0, 1], [-1, 0.1, 0.1]], np.float32))


def test_vectors_survive_a_round_trip_exactly(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    (tmp_path / "vectors.txt").write_text(format_vectors(WordVectors(tuple(f"w{k}" for k in range(50)), vectors)))
    table = read_vectors(tmp_path / "vectors.txt")
    assert table.words == tuple(f"w{k}" for k in range(50))
    assert (table.vectors == vectors).all()


def test_gensim_loads_the_file(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models")
    (tmp_path / "vectors.txt").write_text(format_vectors(TABLE))
    loaded = models.KeyedVectors.load_word2vec_format(str(tmp_path / "vectors.txt"))
    assert tuple(loaded.index_to_key) == WORDS
    assert (loaded.vectors == TABLE.vectors).all()


def test_the_format_of_glove_has_no_first_line(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text(format_vectors(TABLE).split("\n", 1)[1])
    assert read_vectors(tmp_path / "glove.txt").words == WORDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a word"),
        ("2 3\na 1 2 3\nb 1 2\n", "line 3: 2 values, but the vectors have 3"),
        ("3 2\na 1 2\nb 1 2\n", "announces 3 words, but the file has 2"),
        ("a 1 2\nb 1 x\n", "a value is not a number"),
        ("a 1 2\nb 1 nan\n", "line 2: a value is not finite"),
        ("alone\n", "line 1: expected a word"),
    ],
)
def test_malformed_files_are_rejected(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_vectors(tmp_path / "vectors.txt")


def test_scores_leave_out_words_without_a_vector(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("# a comment\nKing\tqueen\t9\nman\twoman\t8\nking\tapple\t1\nking\tzebra\t5\n")
    score, coverage = similarity_score(TABLE, read_similarities(tmp_path / "pairs.tsv"))
    assert score == pytest.approx(1.0)
    assert coverage == 0.75
    (tmp_path / "questions.txt").write_text(": family\nman king woman queen\nMan Woman King Queen\nking man x woman\n")
    score, coverage = analogy_score(TABLE, read_analogies(tmp_path / "questions.txt"))
    assert score == 1
    assert coverage == pytest.approx(2 / 3)
    assert np.isnan(analogy_score(TABLE, [])[0])


def test_scores_equal_those_of_gensim(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models")
    generator = np.random.default_rng(0)
    words = [f"w{k}" for k in range(30)]
    table = WordVectors(tuple(words), generator.normal(size=(30, 3)).astype(np.float32))
    loaded = models.KeyedVectors(3)
    loaded.add_vectors(words, table.vectors)
    pairs = [(*generator.choice(words, 2, replace=False), generator.random()) for _ in range(40)]
    (tmp_path / "pairs.tsv").write_text("".join(f"{a}\t{b}\t{rating}\n" for a, b, rating in pairs))
    questions = [generator.choice(words, 4, replace=False) for _ in range(200)]
    (tmp_path / "questions.txt").write_text(": some\n" + "".join(f"{' '.join(words)}\n" for words in questions))
    expected = loaded.evaluate_word_pairs(str(tmp_path / "pairs.tsv"))[1].statistic
    assert similarity_score(table, read_similarities(tmp_path / "pairs.tsv"))[0] == pytest.approx(expected)
    expected = loaded.evaluate_word_analogies(str(tmp_path / "questions.txt"))[0]
    assert analogy_score(table, read_analogies(tmp_path / "questions.txt"))[0] == pytest.approx(expected)


def test_nearest_excludes_the_query() -> None:
    assert [word for word, _ in nearest(TABLE, TABLE.vectors[0], ["king"], 2)] == ["man", "queen"]
    assert len(nearest(TABLE, TABLE.vectors[0], ["king"], 99)) == 4


@pytest.mark.parametrize(("reader", "text"), [(read_similarities, "a\tb\n"), (read_analogies, "a b c\n")])
def test_malformed_questions_are_rejected(reader, text: str, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text(text)
    with pytest.raises(InputError, match="line 1: expected"):
        reader(tmp_path / "some.txt")
