"""Files of word vectors, and the questions that judge them. Needs no torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from primer.errors import InputError


class WordVectors(NamedTuple):
    """Words, and their vectors ``(words, size)`` in single precision."""

    words: tuple[str, ...]
    vectors: np.ndarray


class Similarity(NamedTuple):
    """Two words, and how similar people find them."""

    first: str
    second: str
    rating: float


def format_vectors(table: WordVectors) -> str:
    """Returns vectors in word2vec's text format: a line with their number and size, then a line for each word. Numbers
    have as many digits as single precision needs."""
    lines = [f"{len(table.words)} {table.vectors.shape[1]}"]
    rows = table.vectors.astype(np.float32).tolist()
    lines += [f"{word} {' '.join(f'{x:.9g}' for x in row)}" for word, row in zip(table.words, rows, strict=True)]
    return "\n".join(lines) + "\n"


def read_vectors(file: Path) -> WordVectors:
    """Reads vectors in word2vec's text format, or without its first line, as GloVe's are published.

    Raises:
        InputError: if the file cannot be read, or a line has another number of values than the others.
    """
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text: word vectors must be in word2vec's text format") from error
    lines = [line.rstrip("\r") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    first = lines[0].split(" ") if lines else []
    skipped = len(first) == 2 and all(cell.isdecimal() for cell in first)
    rows = [line.rstrip(" ").split(" ") for line in lines[skipped:]]
    if not rows or len(rows[0]) < 2:
        raise InputError(
            f"{file}, line {1 + skipped}: expected a word and the values of its vector, with spaces between"
        )
    size = int(first[1]) if skipped else len(rows[0]) - 1
    for number, row in enumerate(rows, 1 + skipped):
        if len(row) != size + 1:
            raise InputError(f"{file}, line {number}: {len(row) - 1} values, but the vectors have {size}")
    if skipped and len(rows) != int(first[0]):
        raise InputError(f"{file}, line 1: announces {first[0]} words, but the file has {len(rows)}")
    try:
        values = np.loadtxt(io.StringIO("\n".join(" ".join(row[1:]) for row in rows)), dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise InputError(f"{file}: a value is not a number: {' '.join(str(error).split())}") from error
    if not np.isfinite(values).all():
        line = int(np.isfinite(values).all(1).argmin()) + 1 + skipped
        raise InputError(f"{file}, line {line}: a value is not finite")
    return WordVectors(tuple(row[0] for row in rows), values)


def read_similarities(file: Path) -> list[Similarity]:
    """Reads pairs of words with a rating, separated by tabs, such as WordSim-353.

    Raises:
        InputError: if the file is malformed, with the line.
    """
    pairs = []
    for number, line in enumerate(_lines(file), 1):
        cells = line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            pairs.append(Similarity(cells[0].lower(), cells[1].lower(), float(cells[2])))
        except (IndexError, ValueError):
            raise InputError(f"{file}, line {number}: expected two words and a number, separated by tabs") from None
    return pairs


def read_analogies(file: Path) -> list[tuple[str, ...]]:
    """Reads analogies, four words per line: the first is to the second as the third is to the fourth. Lines that start
    with a colon name sections.

    Raises:
        InputError: if the file is malformed, with the line.
    """
    questions = []
    for number, line in enumerate(_lines(file), 1):
        words = tuple(line.lower().split())
        if not words or line.startswith(":"):
            continue
        if len(words) != 4:
            raise InputError(f"{file}, line {number}: expected four words, not {len(words)}")
        questions.append(words)
    return questions


def nearest(table: WordVectors, query: np.ndarray, excluded: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Returns the words whose vectors have the largest cosine with a query, and these cosines."""
    cosines = unit(table.vectors) @ unit(query[None])[0]
    known = {word: row for row, word in enumerate(table.words)}
    cosines[[known[word] for word in excluded]] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: max(0, min(count, len(table.words) - len(set(excluded))))]
    return [(table.words[row], float(cosines[row])) for row in order]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Returns vectors scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)


def similarity_score(table: WordVectors, pairs: Sequence[Similarity]) -> tuple[float, float]:
    """Returns Spearman's rank correlation between the cosines of pairs of words and their ratings, and the fraction of
    the pairs that it covers: those whose words both have a vector. It is NaN for fewer than two."""
    from scipy.stats import spearmanr

    known, vectors = {word: row for row, word in enumerate(table.words)}, unit(table.vectors)
    covered = [pair for pair in pairs if pair.first in known and pair.second in known]
    coverage = len(covered) / max(1, len(pairs))
    if len(covered) < 2:
        return float("nan"), coverage
    rows = np.array([(known[pair.first], known[pair.second]) for pair in covered])
    cosines = (vectors[rows[:, 0]] * vectors[rows[:, 1]]).sum(1)
    return float(spearmanr(cosines, [pair.rating for pair in covered]).statistic), coverage  # type: ignore[attr-defined]


def analogy_score(table: WordVectors, questions: Sequence[tuple[str, ...]], batch: int = 512) -> tuple[float, float]:
    """Returns the fraction of analogies that are answered correctly by vector arithmetic (Mikolov et al. 2013), and the
    fraction of the questions that it covers: those whose four words all have a vector. It is NaN for none.

    The answer to "a is to b as c is to ?" is the word, other than these three, whose vector has the largest cosine with
    the sum of the unit vectors ``b - a + c``."""
    known, vectors = {word: row for row, word in enumerate(table.words)}, unit(table.vectors)
    rows = [[known[word] for word in words] for words in questions if all(word in known for word in words)]
    coverage = len(rows) / max(1, len(questions))
    if not rows:
        return float("nan"), coverage
    correct, index = 0, np.array(rows)
    for some in np.array_split(index, -(-len(index) // batch)):
        a, b, c, answer = some.T
        cosines = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
        np.put_along_axis(cosines, some[:, :3], -np.inf, axis=1)
        correct += int((cosines.argmax(1) == answer).sum())
    return correct / len(index), coverage


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text") from None
