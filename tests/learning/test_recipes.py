"""The default run and the experiment configs reach their documented metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primer.run.evaluation import evaluate
from primer.run.training import train


def test_default_run(command: Callable[..., Any], tmp_path: Path, record_figure: Callable[[str], None]) -> None:
    metrics = train(command("train", "run"))
    record_figure(f"python train.py: test/accuracy {metrics['test/accuracy']:.4f}")
    assert metrics["test/accuracy"] >= 0.97
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test/accuracy"] == metrics["test/accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "files", "metric", "low", "high"),
    [
        ("mnist_mlp", "MNIST", "accuracy", 0.984, 1),
        ("mnist_lenet", "MNIST", "accuracy", 0.9905, 1),
        ("mnist_vit", "MNIST", "accuracy", 0.985, 1),
        ("mnist_autoencoder", "MNIST", "loss", 0, 0.0135),  # PCA has 0.0168.
        ("mnist_vae", "MNIST", "elbo", -105, -80),
        ("mnist_gan", "MNIST", "fid", 0, 10),
        ("brown_lstm", "pos", "accuracy", 0.973, 1),
        ("sequential_mnist_lstm", "MNIST", "accuracy", 0.985, 1),
        ("sessions_gru", "ratings", "hit_rate_at_10", 0.06, 1),
        ("moving_digits_cnn_lstm", None, "accuracy", 0.97, 1),
        ("spoken_digits_cnn", "spoken_digits", "accuracy", 0.985, 1),
        ("spoken_digits_lstm", "spoken_digits", "accuracy", 0.97, 1),
        ("waves_cnn1d", None, "accuracy", 0.97, 1),
        ("reviews_lstm", "sentiment", "accuracy", 0.75, 1),
        ("python_docs_gpt", None, "bits_per_character", 1.7, 1.85),
        ("dates_transformer", None, "exact_match", 0.95, 1),
        ("g2p_transformer", None, "wer", 0, 0.31),
        ("text_word2vec", "embeddings", "similarity", 0.15, 1),
        ("text_glove", "embeddings", "similarity", 0.15, 1),
        ("adding_gru", None, "mse", 0, 0.01),
        ("adding_rnn", None, "mse", 0.15, 0.18),  # Predicting the mean scores 0.167.
        ("digits_knn", None, "accuracy", 0.975, 1),
        ("digits_svm", None, "accuracy", 0.975, 1),
        ("wine_tree", None, "accuracy", 0.85, 1),
        ("spam_svm", "spam", "accuracy", 0.92, 1),
        ("iris_kmeans", None, "ari", 0.45, 1),
        ("iris_gaussian_mixture", None, "ari", 0.7, 1),
        ("moons_dbscan", None, "ari", 1, 1),
        ("iris_som", None, "topographic_error", 0, 0.07),
        ("mnist_pca", "MNIST", "explained_variance", 0.825, 0.835),
    ],
)
def test_experiment(
    name: str,
    files: str | None,
    metric: str,
    low: float,
    high: float,
    command: Callable[..., Any],
    data_dir_or_skip: Callable[[str], Path],
    record_figure: Callable[[str], None],
) -> None:
    folder = [f"paths.data_dir={data_dir_or_skip(files).parent}"] if files else []
    value = train(command("train", "run", f"experiment={name}", *folder))[f"test/{metric}"]
    record_figure(f"python train.py experiment={name}: test/{metric} {value:.4f}")
    assert low <= value <= high


@pytest.mark.slow
def test_features_learned_without_labels_help_with_few_labels(
    command: Callable[..., Any],
    tmp_path: Path,
    data_dir_or_skip: Callable[[str], Path],
    record_figure: Callable[[str], None],
) -> None:
    folder = f"paths.data_dir={data_dir_or_skip('MNIST').parent}"
    pretraining = ("experiment=mnist_simclr", folder, "test=false")
    train(command("train", "learned", *pretraining))
    train(command("train", "random", *pretraining, "optimizer.lr=0", "trainer.max_epochs=1"))
    probe = ("experiment=mnist_few_labels", folder, "transfer=frozen", "regularization/augmentation=none")
    for labels, margin in ((100, 0.15), (300, 0.1)):
        size = f"data.train_size={labels}"
        learned, random = (
            train(command("train", f"{name}{labels}", *probe, size, f"weights={tmp_path}/{name}"))["test/accuracy"]
            for name in ("learned", "random")
        )
        record_figure(f"mnist_simclr, {labels} labels: test/accuracy {learned:.4f}, random features {random:.4f}")
        assert learned > random + margin


@pytest.mark.slow
def test_vectors_help_with_few_labels(
    command: Callable[..., Any],
    tmp_path: Path,
    data_dir_or_skip: Callable[[str], Path],
    record_figure: Callable[[str], None],
) -> None:
    folder = f"paths.data_dir={data_dir_or_skip('pos').parent}"
    train(command("train", "vectors", "experiment=text_word2vec", "data.path=pos/brown-train.conllu", folder))
    for seed in (0, 1, 2):
        settings = ("experiment=brown_vectors", folder, f"seed={seed}", "trainer.check_val_every_n_epoch=10")
        without = train(command("train", f"without{seed}", *settings))["test/accuracy"]
        accuracy = train(command("train", f"with{seed}", *settings, f"model.embeddings={tmp_path}/vectors"))[
            "test/accuracy"
        ]
        record_figure(f"brown_vectors, seed {seed}: test/accuracy {accuracy:.4f}, without vectors {without:.4f}")
        assert accuracy >= 0.82
        assert accuracy > without + 0.05


@pytest.mark.slow
def test_pronunciation_experiment(
    command: Callable[..., Any], tmp_path: Path, record_figure: Callable[[str], None]
) -> None:
    beam = train(command("train", "run", "experiment=g2p_seq2seq"))
    greedy = evaluate(command("evaluate", "greedy", f"run={tmp_path}/run", "beam_size=1"))
    for name, metrics in (("beam search", beam), ("greedy", greedy)):
        wer, per = metrics["test/wer"], metrics["test/per"]
        record_figure(f"python train.py experiment=g2p_seq2seq: {name}: WER {wer:.4f}, PER {per:.4f}")
    assert beam["test/wer"] <= min(0.3, greedy["test/wer"])
    assert beam["test/per"] <= min(0.075, greedy["test/per"])


@pytest.mark.slow
def test_pretraining_helps_with_few_labels(
    command: Callable[..., Any],
    tmp_path: Path,
    data_dir_or_skip: Callable[[str], Path],
    record_figure: Callable[[str], None],
) -> None:
    folder = f"paths.data_dir={data_dir_or_skip('pos').parent}"
    train(command("train", "pretrained", "experiment=brown_bert", folder))
    for seed in (0, 1, 2):
        settings = ("experiment=brown_bert_tags", folder, f"seed={seed}", "trainer.check_val_every_n_epoch=10")
        without = train(command("train", f"without{seed}", *settings))["test/accuracy"]
        accuracy = train(command("train", f"with{seed}", *settings, f"weights={tmp_path}/pretrained"))["test/accuracy"]
        record_figure(f"brown_bert_tags, seed {seed}: test/accuracy {accuracy:.4f}, without weights {without:.4f}")
        assert accuracy >= 0.86
        assert accuracy > without + 0.1
