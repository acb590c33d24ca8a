"""``python -m primer neighbors`` and ``analogy``: questions to word vectors."""

from __future__ import annotations

import os
from pathlib import Path

from primer.cli.arguments import split_arguments
from primer.data.readers.word_vectors import WordVectors, nearest, read_vectors, unit
from primer.errors import InputError, closest

NEIGHBORS = "python -m primer neighbors RUN|FILE WORD… [count=10]"
ANALOGY = "python -m primer analogy RUN|FILE A B C [count=10]"


def neighbors_command(arguments: list[str]) -> str:
    """Lists the words whose vectors are most similar to that of each given word.

    Args:
        arguments: a run folder or a file of word vectors, words, and ``count=…``.

    Returns:
        A line for each word: its neighbors, with the cosines.

    Raises:
        InputError: if the arguments are wrong, or a word does not have a vector.
    """
    (source, *words), count = _arguments(arguments, NEIGHBORS, least=2)
    table = _load(source)
    rows = _rows(table, words)
    return "\n".join(
        f"{word}: {_listed(nearest(table, table.vectors[row], [word], count))}"
        for word, row in zip(words, rows, strict=True)
    )


def analogy_command(arguments: list[str]) -> str:
    """Answers "A is to B as C is to ?" with the words closest to the vector B - A + C.

    Args:
        arguments: a run folder or a file of word vectors, three words, and ``count=…``.

    Returns:
        The answers, with the cosines.

    Raises:
        InputError: if the arguments are wrong, or a word does not have a vector.
    """
    (source, *words), count = _arguments(arguments, ANALOGY, least=4, most=4)
    table = _load(source)
    first, second, third = unit(table.vectors[_rows(table, words)])
    answers = nearest(table, second - first + third, words, count)
    return f"{words[0]} is to {words[1]} as {words[2]} is to: {_listed(answers)}"


def _arguments(arguments: list[str], usage: str, least: int, most: int | None = None) -> tuple[list[str], int]:
    rest, settings = split_arguments(arguments, ("count",), usage)
    count = settings.get("count", "10")
    if not count.isdecimal() or not int(count):
        raise InputError(f"count must be an integer of at least 1, not {count}; usage: {usage}")
    if len(rest) < least or (most and len(rest) > most):
        raise InputError(f"usage: {usage}")
    return rest, int(count)


def _load(source: str) -> WordVectors:
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        if not (path / "vectors.txt").is_file():
            raise InputError(f"{path} has no vectors.txt: a run of model=word2vec or glove writes it when it is tested")
        path = path / "vectors.txt"
    return read_vectors(path)


def _rows(table: WordVectors, words: list[str]) -> list[int]:
    known = {word: row for row, word in enumerate(table.words)}
    for word in words:
        if word not in known:
            near = closest(word, table.words)
            raise InputError(f"{word!r} does not have a vector" + (f"; did you mean {near}?" if near else ""))
    return [known[word] for word in words]


def _listed(answers: list[tuple[str, float]]) -> str:
    return ", ".join(f"{word} {cosine:.2f}" for word, cosine in answers)
