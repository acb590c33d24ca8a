"""What all classical models share: settings that do not apply, checkpoints, and sweeps beside networks."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs

import primer
from primer.cli.choices import groups, target_of
from primer.data.tables.tables import Wine

MODELS = [name for name in groups()["model"] if ".classical." in str(target_of("model", name))]
QUICK = ("~callbacks.pictures", "~callbacks.report", "logger=none")
SMALL = {"random_forest": ("model.trees=5",), "kmeans": ("model.clusters=3",), "dbscan": ("model.eps=2.2",)}


def test_there_are_ten() -> None:
    assert MODELS == [
        "dbscan", "decision_tree", "gaussian_mixture", "gaussian_naive_bayes", "kmeans", "knn", "pca",
        "random_forest", "som", "svm",
    ]  # fmt: skip


PREDICT = """
import sys, numpy, primer
folder, rows = sys.argv[1], numpy.load(sys.argv[1] + "/inputs.npy")
for name in sys.argv[2:]:
    predictions = primer.load(f"{folder}/{name}.ckpt").predict(rows)
    arrays = {key: getattr(predictions, key) for key in ("labels", "probabilities", "values")}
    arrays = {key: numpy.array(array.tolist()) for key, array in arrays.items() if array is not None}
    numpy.savez(f"{folder}/{name}.npz", **arrays)
assert not {"sklearn.ensemble", "sklearn.cluster", "sklearn.svm", "sklearn.tree"} & set(sys.modules)
"""
"""Predicts with several checkpoints in a folder, without scikit-learn."""


def test_moved_checkpoints_predict_the_same_in_another_process(run_in_process, run_in_subprocess, tmp_path) -> None:
    inputs, expected = Wine().prepare().parts["test"].inputs.numpy(), {}  # type: ignore[union-attr]
    np.save(tmp_path / "inputs.npy", inputs)
    for model in MODELS:
        result = run_in_process("train.py", f"model={model}", "data=wine", *QUICK, *SMALL.get(model, ()))
        assert result.status == 0, result.err
        expected[model] = primer.load(result.folder).predict(inputs)
        file = (result.folder / "checkpoints" / "best.ckpt").rename(tmp_path / f"{model}.ckpt")
        assert all(type(value) is torch.Tensor for value in torch.load(file, weights_only=True)["state_dict"].values())
    done = run_in_subprocess("-c", PREDICT, str(tmp_path), *MODELS)
    assert done.status == 0, done.err
    for model, predictions in expected.items():
        arrays = np.load(tmp_path / f"{model}.npz")
        if model == "pca":
            np.testing.assert_allclose(arrays["values"], predictions.values, rtol=0, atol=1e-6)
            continue
        assert arrays["labels"].tolist() == predictions.labels.tolist()
        assert ("probabilities" in arrays) == (predictions.probabilities is not None)
        if "probabilities" in arrays:
            np.testing.assert_allclose(arrays["probabilities"], predictions.probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["svm", "som"])
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("optimizer=adam", "optimizer=adam"),
        ("scheduler=cosine", "scheduler=cosine"),
        ("trainer.max_epochs=3", "trainer.max_epochs=3"),
        ("regularization.l2=0.1", "regularization.l2"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val"),
        ("regularization/augmentation=noise", "regularization/augmentation"),
    ],
)
def test_a_setting_of_the_training_by_gradient_is_rejected(model: str, setting: str, named: str, run_in_process):
    result = run_in_process("train.py", f"model={model}", "data=wine", setting)
    assert result.status == 2
    assert (
        f"{named} has no effect on {model.upper()}, which is fitted in a single pass, without gradients" in result.err
    )
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("data=wine", "objective.class_weights=balanced"), "objective.class_weights has no effect on KNN"),
        (("data=wine", "regularization.label_smoothing=0.1"), "regularization.label_smoothing has no effect on KNN"),
        (("data=diabetes", "objective=gaussian_nll"), "GaussianNLL needs more than one output per value"),
        (("data=wine", "model.neighbors=1000"), "model.neighbors=1000: the training part has only 124 samples"),
        (("data=co2",), "model=knn does not fit data=co2"),
    ],
)
def test_a_mistake_is_one_line(settings: tuple[str, ...], message: str, run_in_process) -> None:
    result = run_in_process("train.py", "model=knn", *settings)
    assert result.status == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_binary_cross_entropy_predicts_the_same_classes(run_in_process) -> None:
    accuracies = []
    for objective in ("cross_entropy", "bce"):
        result = run_in_process("train.py", "model=svm", "data=breast_cancer", f"objective={objective}", *QUICK)
        assert result.status == 0, result.err
        accuracies.append(json.loads((result.folder / "metrics.json").read_text())["test/accuracy"])
    assert accuracies[0] == accuracies[1] > 0.9


def test_a_sweep_compares_classical_models_with_networks(run_in_process) -> None:
    models = "knn,svm,mlp"
    result = run_in_process("train.py", "-m", f"model={models}", "data=wine", "seed=0,1", *QUICK)
    assert result.status == 0, result.err
    with (result.folder / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert all(row["status"] == "done" for row in rows if "status" in row)
    for model in models.split(","):
        assert model in result.out


def test_a_fitted_run_is_evaluated_again(run_in_process) -> None:
    run = run_in_process("train.py", "model=random_forest", "data=wine", "model.trees=5", *QUICK).folder
    result = run_in_process("evaluate.py", f"run={run}")
    assert result.status == 0, result.err
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (run, result.folder))
    assert second["test/accuracy"] == first["test/accuracy"]


@pytest.mark.parametrize(
    ("model", "metric"),
    [("dbscan", "silhouette"), ("gaussian_mixture", "log_likelihood"), ("som", "topographic_error")],
)
def test_data_without_targets_is_clustered_and_predicted(model: str, metric: str, run_in_process, tmp_path) -> None:
    points, _ = make_blobs(150, centers=[(0, 0), (9, 9), (0, 9)], random_state=0)
    file = tmp_path / "points.csv"
    np.savetxt(file, points, delimiter=",", header="x,y", comments="")
    data = ("data=csv", f"data.path={file}", "data.target=[]")
    result = run_in_process("train.py", f"model={model}", *data)
    assert result.status == 0, result.err
    assert "warning" not in result.out + result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert f"test/{metric}" in metrics
    assert not any("ari" in name for name in metrics)
    assert metrics.get("test/silhouette", 1) > 0.7
    output = tmp_path / "predictions.csv"
    predicted = run_in_process("predict.py", f"run={result.folder}", f"input={file}", f"output={output}", logs=False)
    assert predicted.status == 0, predicted.err
    labels = [row["prediction"] for row in csv.DictReader(output.open())]
    assert len(labels) == 150
    assert len(set(labels)) >= 3


def test_a_model_that_needs_targets_rejects_data_without(run_in_process, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "1,2\n3,4\n" * 10)
    result = run_in_process("train.py", "model=knn", "data=csv", f"data.path={tmp_path / 't.csv'}", "data.target=[]")
    assert result.status == 2
    assert "KNN does not accept targets of type NoTarget" in result.err
    assert len(result.err.strip().splitlines()) == 1
