"""The vectors of a model of words, saved, judged and drawn at the end of the test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning import Callback, Trainer

from primer.data.readers.lines import find_file
from primer.data.readers.word_vectors import (
    analogy_score,
    format_vectors,
    read_analogies,
    read_similarities,
    similarity_score,
)
from primer.errors import InputError, closest
from primer.models.base import Model
from primer.models.embeddings.word_vectors import WordVectorModel
from primer.records import run_folder
from primer.reports.publish import log_failure, publish
from primer.reports.word_vectors import choose_words, draw_word_vectors

SIMILARITIES, ANALOGIES = "embeddings/wordsim353.tsv", "embeddings/questions-words.txt"
"""The files in the data folder that vectors are judged by, if they exist."""


class WordVectorFiles(Callback):
    """Saves word vectors as ``vectors.txt``, judges them and draws some of them. Other models are skipped.

    Vectors are judged by ``test/similarity``, Spearman's rank correlation with the ratings of people (Finkelstein et
    al. 2001), and ``test/analogies``, the fraction of analogies solved (Mikolov et al. 2013). Both leave out words
    without a vector; ``…_coverage`` is the fraction of the pairs or questions that is left.

    Args:
        dirpath: the run folder.
        data_dir: the folder of data files.
        similarities: a file of pairs of words and ratings, separated by tabs; by default ``SIMILARITIES`` in the data
            folder. If that does not exist, the metric is left out.
        analogies: a file of four words per line; by default ``ANALOGIES``, likewise.
        words: the words to draw; by default frequent ones.
        projection: how vectors are projected to a plane: ``pca`` or ``tsne`` (van der Maaten and Hinton 2008).

    Raises:
        InputError: if the projection is unknown; before the run, if a file does not exist or is malformed, or a word
            has no vector.
    """

    logged_metrics = ("test/similarity*", "test/analogies*")

    def __init__(
        self,
        dirpath: str | Path,
        data_dir: str | Path = "data",
        similarities: str | None = None,
        analogies: str | None = None,
        words: Sequence[str] | None = None,
        projection: Literal["pca", "tsne"] = "pca",
    ) -> None:
        if projection not in ("pca", "tsne"):
            raise InputError(f"word_vectors.projection must be one of pca, tsne, not {projection!r}")
        self.dirpath, self.data_dir = Path(dirpath), Path(data_dir)
        self.similarities, self.analogies = similarities, analogies
        self.words, self.projection = None if words is None else list(words), projection

    def setup(self, trainer: Trainer, pl_module: Model, stage: str) -> None:
        if not isinstance(pl_module, WordVectorModel):
            return
        similarities = self._find(self.similarities, SIMILARITIES, "similarities")
        analogies = self._find(self.analogies, ANALOGIES, "analogies")
        self._pairs = read_similarities(similarities) if similarities else []
        self._questions = read_analogies(analogies) if analogies else []
        known = pl_module.table().words
        for word in self.words or ():
            if word not in known:
                near = closest(word, known)
                raise InputError(
                    f"callbacks.word_vectors.words: {word!r} does not have a vector"
                    + (f"; did you mean {near}?" if near else "")
                )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not isinstance(pl_module, WordVectorModel):
            return
        table = pl_module.table()
        scores = {}
        if self._pairs:
            scores["similarity"] = similarity_score(table, self._pairs)
        if self._questions:
            scores["analogies"] = analogy_score(table, self._questions)
        for name, (score, coverage) in scores.items():
            if not math.isnan(score):
                pl_module.log(f"test/{name}", score)
            pl_module.log(f"test/{name}_coverage", coverage)

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        if not isinstance(pl_module, WordVectorModel) or not trainer.is_global_zero:
            return
        table = pl_module.table()
        run_folder.write(self.dirpath / "vectors.txt", format_vectors(table))
        pictures = self.dirpath / "pictures"
        with log_failure(pictures, "word_vectors"):
            words = self.words or choose_words(table.words)
            rows = [table.words.index(word) for word in words]
            figure = draw_word_vectors(words, table.vectors[rows], self.projection)
            publish(trainer, pictures, "word_vectors", figure)

    def _find(self, given: str | None, default: str, name: str) -> Path | None:
        if given is not None:
            return find_file(given, self.data_dir, f"callbacks.word_vectors.{name} names a text file")
        file = self.data_dir / default
        return file if file.is_file() else None
