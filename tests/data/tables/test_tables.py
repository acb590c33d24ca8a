"""The tables of scikit-learn: parts, names and statistics."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris

from primer.data.tables.tables import BreastCancer, Diabetes, Iris, Wine
from primer.spec import Classes, Values, Vector

TABLES = {Iris: (150, 4), Wine: (178, 13), BreastCancer: (569, 30), Diabetes: (442, 10)}
CLASSIFICATION = (Iris, Wine, BreastCancer)


@pytest.mark.parametrize("kind", TABLES)
def test_parts_contain_each_row_once(kind):
    data = kind().prepare()
    whole = np.asarray(kind().load().data, dtype=np.float32)
    rows = torch.cat([part.inputs for part in data.parts.values()]).numpy()
    assert rows.shape == TABLES[kind]
    assert np.array_equal(np.array(sorted(map(tuple, rows))), np.array(sorted(map(tuple, whole))))
    assert data.parts["test"].size == round(0.2 * len(whole))
    assert data.parts["val"].size == round(0.1 * len(whole))


@pytest.mark.parametrize("kind", CLASSIFICATION)
def test_parts_are_stratified_by_class(kind):
    data = kind().prepare()
    classes = len(data.spec.target.names)
    counts = {part: np.bincount(batch.targets.numpy(), minlength=classes) for part, batch in data.parts.items()}
    total = sum(counts.values())
    for part, batch in data.parts.items():
        assert np.abs(counts[part] - total * batch.size / total.sum()).max() <= 1


@pytest.mark.parametrize("kind", TABLES)
def test_mean_and_standard_deviation_are_computed_on_the_training_part(kind):
    data = kind().prepare()
    train = data.parts["train"].inputs.double().numpy()
    everything = torch.cat([part.inputs for part in data.parts.values()]).double().numpy()
    assert data.spec.input.mean == pytest.approx(train.mean(0))
    assert data.spec.input.std == pytest.approx(train.std(0))
    assert data.spec.input.mean != pytest.approx(everything.mean(0))


@pytest.mark.parametrize("kind", TABLES)
def test_batches_are_standardized(kind):
    (batch,) = kind(batch_size="full").prepare().train_dataloader()
    assert batch.inputs.mean(0).abs().max() < 1e-4
    assert (batch.inputs.std(0, correction=0) - 1).abs().max() < 1e-4


def test_specs_have_the_original_names():
    iris, wine, cancer = (kind().prepare().spec for kind in CLASSIFICATION)
    assert iris.target == Classes(("setosa", "versicolor", "virginica"))
    assert iris.target.names == tuple(load_iris().target_names)
    assert wine.target == Classes(("Barolo", "Grignolino", "Barbera"))
    assert cancer.target == Classes(("malignant", "benign"))
    assert isinstance(iris.input, Vector)
    assert iris.input.names[2] == "petal length (cm)"
    assert len(cancer.input.names) == cancer.input.features == 30


def test_wine_classes_are_in_the_order_of_their_names():
    # The paper has 59 Barolo, 71 Grignolino and 48 Barbera.
    assert np.bincount(Wine().load().target).tolist() == [59, 71, 48]


def test_diabetes_is_in_original_units():
    data = Diabetes().prepare()
    target = data.spec.target
    assert isinstance(target, Values)
    assert target.names == ("disease_progression",)
    train = data.parts["train"].targets
    assert train.shape == (data.parts["train"].size, 1)
    assert target.mean[0] == pytest.approx(train.double().mean().item())
    assert target.std[0] == pytest.approx(train.double().std(correction=0).item())
    age = torch.cat([part.inputs[:, data.spec.input.names.index("age")] for part in data.parts.values()])
    assert age.min() == 19
    assert age.max() == 79
    assert torch.cat([part.targets for part in data.parts.values()]).max() == load_diabetes().target.max()


@pytest.mark.parametrize("kind", [Iris, Diabetes])
def test_folds_hold_out_each_row_once(kind):
    held_out = torch.cat([kind(folds=5, fold=fold).prepare().parts["test"].inputs for fold in range(5)])
    whole = np.asarray(kind().load().data, dtype=np.float32)
    assert np.array_equal(np.array(sorted(map(tuple, held_out.numpy()))), np.array(sorted(map(tuple, whole))))


def test_the_split_depends_only_on_split_seed():
    torch.manual_seed(1)
    first = Iris().prepare().parts["test"].inputs
    torch.manual_seed(2)
    assert Iris().prepare().parts["test"].inputs.equal(first)
    assert not Iris(split_seed=1).prepare().parts["test"].inputs.equal(first)
