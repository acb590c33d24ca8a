"""k-means lowers its inertia, finds the classes of simple data, and predicts clusters by name."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted, whole_table
from sklearn.metrics import adjusted_rand_score

import primer
from primer.data.tables.tables import Iris, Wine
from primer.errors import InputError
from primer.models.classical.kmeans import KMeans


@pytest.mark.parametrize(("kind", "index"), [(Iris, 0.62), (Wine, 0.9)])
def test_clusters_agree_with_classes(kind, index: float, record_figure) -> None:
    spec, batch = whole_table(kind)
    torch.manual_seed(0)
    model = KMeans(spec, clusters=3)
    model.fit(batch)
    score = adjusted_rand_score(batch.targets, model.predict_batch(batch))
    record_figure(f"k-means on all of {kind.__name__}: adjusted Rand index {score:.3f}")
    assert score == pytest.approx(index, abs=0.02)


def test_inertia_never_rises() -> None:
    data = Wine().prepare()
    batch = data.whole("train")
    inertias = [
        fitted(KMeans, data, clusters=6, starts=1, iterations=count, elbow=False).step(batch).loss.item()
        for count in range(1, 12)
    ]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(inertias))
    assert inertias[-1] < inertias[0]


def test_each_sample_belongs_to_the_nearest_center() -> None:
    data = Wine().prepare()
    model = fitted(KMeans, data, clusters=4)
    points, centers = arrays(data, "test")[0], model.centers.double().numpy()
    squares = ((points[:, None] - centers) ** 2).sum(2)
    batch = data.whole("test")
    assert np.array_equal(model.predict_batch(batch).numpy(), squares.argmin(1))
    assert model.step(batch).loss.item() == pytest.approx(squares.min(1).mean(), rel=1e-5)
    assert (model.inertias.diff() < 0).sum() >= 7  # More clusters, less inertia.


def test_a_run_writes_clusters_and_pictures_and_predicts(run_in_process) -> None:
    result = run_in_process("train.py", "model=kmeans", "data=iris", "model.clusters=3", "monitor=val/ari")
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    names = {name for name in metrics if name.startswith("test/")}
    assert names == {"test/loss", "test/ari", "test/nmi", "test/silhouette"}
    assert {"clusters.png", "elbow.png"} <= {file.name for file in (result.folder / "pictures").iterdir()}
    assert not (result.folder / "pictures" / "confusion.png").exists()
    with (result.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    predictions = primer.load(result.folder).predict(np.array([[5.0, 3.4, 1.5, 0.2], [6.5, 3.0, 5.5, 2.0]]))
    assert {row["prediction"] for row in rows} == {"cluster 1", "cluster 2", "cluster 3"}
    assert predictions.labels is not None
    assert len(set(predictions.labels)) == 2
    setosa = {row["prediction"] for row in rows if row["target"] == "setosa"}
    assert setosa == {predictions.labels[0]}


def test_too_few_samples_are_rejected() -> None:
    with pytest.raises(InputError, match=r"model\.clusters=30: the training part has only 20 samples"):
        fitted(KMeans, Wine(train_size=20).prepare(), clusters=30)


def test_regression_data_is_clustered_without_scores_of_classes(run_in_process) -> None:
    result = run_in_process("train.py", "model=kmeans", "data=diabetes")
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert {name for name in metrics if name.startswith("test/")} == {"test/loss", "test/silhouette"}
    assert torch.load(result.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]["is_fitted"]
