"""Speed and quality of word2vec in Primer, compared with gensim with the same settings.

``python -m benchmarks.word_vectors`` trains on the Brown corpus and the King James Bible in ``PRIMER_DATA_DIR``, for 5
epochs with 100 dimensions. Both train on the same sentences, on one thread, one after the other for each seed. Words
per second count all words of the text, before subsampling, and the processor time of training alone, so that other
processes disturb them little. Arguments: ``seeds=1,2,3``, ``architectures=skip_gram,cbow``, ``epochs=5``.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from primer.cli.arguments import split_arguments
from primer.cli.composition import compose_resolved
from primer.config.instantiate import instantiate
from primer.data.readers.word_vectors import (
    WordVectors,
    analogy_score,
    read_analogies,
    read_similarities,
    similarity_score,
)
from primer.data.text.word_context import WordContext
from primer.errors import InputError
from primer.models.embeddings.word_vectors import WordVectorModel
from primer.records.library_logs import redirect_library_logs
from primer.regularization import Regularization
from primer.run.building import build_callbacks, build_data, build_loggers, build_model, build_trainer

USAGE = "python -m benchmarks.word_vectors [seeds=1,2,3] [architectures=skip_gram,cbow] [epochs=5]"


class CPUClock(L.Callback):
    """Measures the processor time of training, from its first batch to its last."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.process_time()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.seconds = time.process_time() - self.started


def ours(architecture: str, seed: int, epochs: int) -> tuple[WordVectors, float, WordContext]:
    """Returns the vectors that Primer learns, the seconds of processor time, and the data."""
    overrides = (
        "model=word2vec", f"model.architecture={architecture}", "data.path=[pos/brown-train.conllu,text/kjv.txt]",
        "data.val_fraction=0", "data.test_fraction=0.0001", f"trainer.max_epochs={epochs}", "accelerator=cpu",
        "callbacks=[_last,_progress]",
    )  # fmt: skip
    L.seed_everything(seed, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        config = compose_resolved("train", list(overrides), folder)
        regularization = instantiate(config["regularization"], Regularization)
        data = build_data(config, regularization)
        assert isinstance(data, WordContext)
        model, clock = build_model(config, data, regularization), CPUClock()
        assert isinstance(model, WordVectorModel)
        callbacks = [*build_callbacks(config, model, data, regularization), clock]
        build_trainer(config, model, callbacks, build_loggers(config)).fit(model, datamodule=data)
    return model.table(), clock.seconds, data


def gensims(sentences: list[list[str]], architecture: str, seed: int, epochs: int) -> tuple[WordVectors, float]:
    """Returns the vectors that gensim learns, and the seconds of processor time."""
    from gensim.models import Word2Vec  # type: ignore[import-not-found]

    model = Word2Vec(
        vector_size=100, window=5, min_count=5, sample=1e-3, negative=5, sg=architecture == "skip_gram", workers=1,
        seed=seed,
    )  # fmt: skip
    model.build_vocab(sentences)
    started = time.process_time()
    model.train(sentences, total_examples=len(sentences), epochs=epochs)
    return WordVectors(tuple(map(str, model.wv.index_to_key)), model.wv.vectors), time.process_time() - started


def scores(table: WordVectors, folder: Path) -> tuple[float, float]:
    """Returns the rank correlation with WordSim-353 and the accuracy of analogies, in percent."""
    similarity = similarity_score(table, read_similarities(folder / "wordsim353.tsv"))[0]
    return similarity, 100 * analogy_score(table, read_analogies(folder / "questions-words.txt"))[0]


def main(*arguments: str) -> None:
    rest, settings = split_arguments(list(arguments), ("seeds", "architectures", "epochs"), USAGE)
    if rest or "PRIMER_DATA_DIR" not in os.environ:
        raise InputError(f"set PRIMER_DATA_DIR to a folder with pos, text and embeddings: {USAGE}")
    redirect_library_logs()
    torch.set_num_threads(1)
    folder, epochs = Path(os.environ["PRIMER_DATA_DIR"]) / "embeddings", int(settings.get("epochs", 5))
    for architecture in settings.get("architectures", "skip_gram,cbow").split(","):
        rows: list[dict[str, tuple[Any, ...]]] = []
        for seed in map(int, settings.get("seeds", "1,2,3").split(",")):
            table, seconds, data = ours(architecture, seed, epochs)
            sentences = data.split(data.read())["train"]
            assert isinstance(sentences, list)
            words = epochs * sum(map(len, sentences))
            other, other_seconds = gensims(sentences, architecture, seed, epochs)
            rows.append({
                "Primer": (words / seconds, *scores(table, folder)),
                "gensim": (words / other_seconds, *scores(other, folder)),
            })  # fmt: skip
            for name, (speed, similarity, analogies) in rows[-1].items():
                print(f"{architecture:9} seed {seed} {name}: {speed:>9,.0f} words/s, wordsim353 {similarity:.4f}, "
                      f"analogies {analogies:.2f} %", flush=True)  # fmt: skip
        ratio = statistics.median(row["Primer"][0] / row["gensim"][0] for row in rows)
        means = {name: np.mean([row[name][1:] for row in rows], axis=0) for name in ("Primer", "gensim")}
        differences = means["Primer"] - means["gensim"]
        print(f"{architecture:9} mean of {len(rows)}: {ratio:.2f} times the words/s of gensim, wordsim353 "
              f"{differences[0]:+.4f}, analogies {differences[1]:+.2f} points")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
