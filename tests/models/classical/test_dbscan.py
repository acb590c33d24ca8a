"""DBSCAN finds clusters of any shape, and assigns new samples to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.classical import arrays, fitted
from sklearn.cluster import DBSCAN as Estimator  # noqa: N811
from sklearn.metrics import adjusted_rand_score

import primer
from primer.batch import Batch
from primer.data.tables.moons import Moons
from primer.data.tables.tables import Wine
from primer.errors import InputError
from primer.models.classical.dbscan import DBSCAN
from primer.models.classical.kmeans import KMeans


def test_moons_are_separated_where_k_means_fails() -> None:
    data = Moons().prepare()
    targets = data.whole("test").targets
    scores = {
        kind: adjusted_rand_score(targets, fitted(kind, data, **settings).predict_batch(data.whole("test")))
        for kind, settings in ((DBSCAN, {"eps": 0.3}), (KMeans, {"clusters": 2}))
    }
    assert scores[DBSCAN] == 1
    assert scores[KMeans] < 0.7


@pytest.mark.parametrize(("kind", "eps"), [(Moons, 0.12), (Wine, 2.2)])
def test_training_samples_get_the_clusters_of_scikit_learn(kind, eps: float) -> None:
    data = kind().prepare()
    model, (points, _) = fitted(DBSCAN, data, eps=eps), arrays(data, "train")
    expected = Estimator(eps=eps).fit(points)
    predicted = model.predict_batch(data.whole("train")).numpy()
    noise = model.cluster_count() - 1
    assert np.array_equal(predicted == noise, expected.labels_ == -1)
    assert (expected.labels_ == -1).sum() > 0
    cores = expected.core_sample_indices_  # Others may be within the radius of two clusters.
    assert np.array_equal(predicted[cores], expected.labels_[cores])


def test_a_sample_outside_the_radius_is_noise() -> None:
    model = fitted(DBSCAN, Moons().prepare(), eps=0.3)
    far = Batch(torch.tensor([[30.0, 30.0]]))
    assert model.cluster_names() == ("cluster 1", "cluster 2", "noise")
    assert model.predict_batch(far).tolist() == [2]
    nearest = (far.inputs - model.cores).norm(dim=1)
    assert model.step(far).loss.item() == pytest.approx(nearest.min().item(), rel=1e-5)


def test_a_radius_without_core_samples_is_rejected() -> None:
    with pytest.raises(InputError, match=r"model\.eps=0\.001: no training sample has 5 samples within this distance"):
        fitted(DBSCAN, Moons().prepare(), eps=0.001)
    with pytest.raises(InputError, match="eps must be greater than 0"):
        DBSCAN(Moons().prepare().spec, eps=0.0)


def test_distances_of_a_part_of_the_samples_are_those_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Moons().prepare()
    every = fitted(DBSCAN, data, eps=0.5).k_distances
    monkeypatch.setattr("primer.models.classical.dbscan.SAMPLES", 50)
    monkeypatch.setattr("primer.models.classical.dbscan.ROWS", 20)
    some = fitted(DBSCAN, data, eps=0.5).k_distances
    assert len(some) == 50 < len(every)
    assert set(some.tolist()) <= set(every.tolist())


def test_a_run_draws_the_distances_and_loads(run_in_process) -> None:
    result = run_in_process("train.py", "model=dbscan")
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    assert {"clusters.png", "k_distances.png"} <= {file.name for file in (result.folder / "pictures").iterdir()}
    labels = primer.load(result.folder).predict(np.array([[0.0, 1.0], [1.0, -0.5], [9.0, 9.0]])).labels
    assert labels is not None
    assert labels[2] == "noise"
    assert {"cluster 1", "cluster 2"} == set(labels[:2])
