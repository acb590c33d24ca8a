"""Linear models: what they learn, what no linear model can, and under which objective."""

from functools import partial

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from sklearn.linear_model import LinearRegression

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.data.loading.scaling import moments
from primer.data.tables.noisy_surface import NoisySurface
from primer.data.tables.tables import BreastCancer, Diabetes, Iris
from primer.data.tables.xor import XOR
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.objectives import MAE, MSE, BinaryCrossEntropy, CrossEntropy, GaussianNLL, Huber
from primer.optim import penalizes
from primer.spec import Classes, Series, Spec, Tags, Values, Vector

SLOPE, INTERCEPT = 300.0, -2000.0


class Line(DataModule):
    """z = 300 x - 2000, with noise and outliers where asked for."""

    inputs = Vector
    targets = Values

    def __init__(self, noise=0.0, outliers=0, **kwargs):
        super().__init__(**kwargs)
        self.noise, self.outliers = noise, outliers

    def read(self):
        generator = torch.Generator().manual_seed(0)
        x = 5 + 2 * torch.randn(500, 1, generator=generator)
        z = SLOPE * x + INTERCEPT + self.noise * torch.randn(500, 1, generator=generator)
        z[: self.outliers] = 20000.0
        return {"train": Batch(x, z)}

    def fit_spec(self, train):
        return Spec(Vector(1, ("x",), *moments(train.inputs)), Values(("z",), *moments(train.targets)))

    def encode(self, records):
        return records


@pytest.fixture
def fit(quiet_trainer):
    """Trains a model, and gives the metrics of its test."""

    def run(model, data, epochs, lr=0.05, optimizer=None):
        model.optimizer = optimizer or partial(torch.optim.Adam, lr=lr)
        trainer = quiet_trainer(max_epochs=epochs)
        trainer.fit(model, datamodule=data)
        return trainer.test(model, datamodule=data, verbose=False)[0]

    return run


def newton(epochs=5):
    return {"epochs": epochs, "optimizer": partial(torch.optim.LBFGS, max_iter=20, line_search_fn="strong_wolfe")}


def line_of(model):
    """Slope and intercept in the units of the data."""
    spec = model.spec
    weight, bias = model.head.weight[0, 0].item(), model.head.bias[0].item()
    slope = weight * spec.target.std[0] / spec.input.std[0]
    return slope, spec.target.mean[0] + bias * spec.target.std[0] - slope * spec.input.mean[0]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# Regression.


def test_recovers_slope_and_intercept(fit):
    data = Line(batch_size="full").prepare()
    model = Linear(data.spec)
    results = fit(model, data, **newton())
    assert line_of(model) == pytest.approx((SLOPE, INTERCEPT), rel=1e-3)
    assert results["test/r2"] > 0.9999


def test_equals_least_squares(fit):
    data = Diabetes(batch_size="full").prepare()
    model = Linear(data.spec)
    results = fit(model, data, **newton())
    (train,), (test,) = data.train_dataloader(), data.test_dataloader()
    wanted = LinearRegression().fit(train.inputs.numpy(), train.targets.numpy())
    error = np.mean((wanted.predict(test.inputs.numpy()) - test.targets.numpy()) ** 2)
    assert results["test/mse"] == pytest.approx(error, rel=0.01)
    # Better by a third than the mean of the training part, which explains nothing.
    baseline = ((test.targets - train.targets.mean()) ** 2).mean().item()
    assert results["test/mse"] < 0.7 * baseline


def test_metrics_are_in_the_unit_of_the_data(fit):
    data = Line(noise=50.0).prepare()
    model = Linear(data.spec)
    results = fit(model, data, epochs=2)
    (test,) = data.test_dataloader()
    with torch.no_grad():
        missed = model.predict(test) - test.targets
    assert results["test/mae"] == pytest.approx(missed.abs().mean().item(), rel=1e-4)
    assert results["test/mse"] == pytest.approx(missed.square().mean().item(), rel=1e-4)
    assert results["test/mae"] > 10
    std = data.spec.target.std[0]
    assert results["test/loss"] == pytest.approx(results["test/mse"] / std**2, rel=1e-4)


@pytest.mark.parametrize("objective", [MSE, MAE, Huber, GaussianNLL])
def test_every_objective_for_values_fits_a_line(objective, fit):
    data = Line(noise=50.0, batch_size=32).prepare()
    model = Linear(data.spec, objective=objective(data.spec.target))
    results = fit(model, data, epochs=30, lr=0.02)
    assert results["test/mae"] < 50  # That of the noise alone is 40; that of no slope at all is 480.
    if objective is not GaussianNLL:
        assert line_of(model) == pytest.approx((SLOPE, INTERCEPT), rel=0.05)


def test_gaussian_likelihood_finds_the_noise(fit):
    data = Line(noise=100.0, batch_size=32).prepare()
    objective = GaussianNLL(data.spec.target)
    model = Linear(data.spec, objective=objective)
    fit(model, data, epochs=40, lr=0.02)
    (test,) = data.test_dataloader()
    with torch.no_grad():
        deviation = objective.standard_deviation(model(test.inputs))
    assert model.head.out_features == 2
    assert deviation.mean().item() == pytest.approx(100, rel=0.2)


def test_absolute_and_huber_loss_bear_outliers(fit):
    errors = {}
    for objective in (MSE, MAE, Huber):
        data = Line(outliers=20, batch_size=64).prepare()
        model = Linear(data.spec, objective=objective(data.spec.target))
        fit(model, data, epochs=20, lr=0.03)
        slope, intercept = line_of(model)
        errors[objective] = abs(slope * 5 + intercept - (SLOPE * 5 + INTERCEPT))
    assert errors[MAE] < 40
    assert errors[Huber] < 300
    assert errors[MSE] > 600  # 4 % of the samples lie some 20,000 away.


# Classification.


@pytest.mark.parametrize("objective", [CrossEntropy, BinaryCrossEntropy])
@pytest.mark.parametrize("gate", ["and", "or"])
def test_learns_and_and_or(gate, objective, fit):
    data = XOR(gate=gate).prepare()
    results = fit(Linear(data.spec, objective=objective(data.spec.target)), data, epochs=5)
    assert results["test/accuracy"] >= 0.99


def test_cannot_learn_xor_where_an_mlp_does(fit):
    data = XOR().prepare()
    # A line gets three of the four points right at best.
    assert fit(Linear(data.spec), data, epochs=10)["test/accuracy"] < 0.8
    assert fit(Linear(data.spec, initialization="normal"), data, epochs=10)["test/accuracy"] < 0.8
    mlp = MLP(data.spec, hidden_sizes=(8,), activation="tanh")
    assert fit(mlp, data, epochs=10)["test/accuracy"] >= 0.99


def test_cannot_follow_a_surface_where_a_small_mlp_does(fit):
    data = NoisySurface(noise=0.05, test_noise=0).prepare()
    flat = fit(Linear(data.spec), data, epochs=10)["test/r2"]
    curved = fit(MLP(data.spec, hidden_sizes=(16,), activation="tanh"), data, epochs=20, lr=0.03)["test/r2"]
    assert 0.4 < flat < 0.6  # The best line explains half of the variance.
    assert curved > 0.95


def test_logistic_regression_on_tables(fit):
    data = BreastCancer(batch_size=16).prepare()
    majority = data.parts["test"].targets.float().mean().item()
    results = fit(Linear(data.spec, objective=BinaryCrossEntropy(data.spec.target)), data, epochs=5, lr=0.03)
    assert majority < 0.65
    assert results["test/accuracy"] > majority + 0.25
    data = Iris(batch_size=16).prepare()
    assert fit(Linear(data.spec), data, epochs=20, lr=0.03)["test/accuracy"] >= 0.9  # A third by chance.


def test_overfits_one_batch(fit):
    data = Digits(train_size=32, batch_size="full").prepare()
    model = Linear(data.spec)
    fit(model, data, epochs=60)
    (batch,) = data.train_dataloader()
    assert (model.eval().predict(batch) == batch.targets).all()


# Construction.


def test_takes_images_and_vectors():
    assert Linear(Digits().prepare().spec).head.weight.shape == (10, 64)
    spec = Spec(Vector(3), Values(("a", "b")))
    assert Linear(spec)(torch.randn(5, 3)).shape == (5, 2)
    assert Linear(spec, objective=GaussianNLL(spec.target))(torch.randn(5, 3)).shape == (5, 4)


def test_dropout_is_of_the_inputs_and_of_training_alone():
    model = Linear(Spec(Vector(1000), Values(("z",))), dropout=0.5)
    torch.nn.init.ones_(model.head.weight)
    ones = torch.ones(1, 1000)
    assert model(ones).item() != 1000
    assert model(ones).item() == pytest.approx(1000, rel=0.2)
    assert model.eval()(ones).item() == pytest.approx(1000)


def test_initialization_by_name():
    spec = Spec(Vector(100), Classes(tuple("0123456789")))
    assert not Linear(spec).head.weight.any()
    assert Linear(spec, initialization="normal").head.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert Linear(spec, initialization="he").head.weight.std().item() == pytest.approx(0.02**0.5, rel=0.2)


def test_ridge_makes_the_slope_smaller(fit):
    slopes = []
    for l2 in (0.0, 1.0):
        data = Line(batch_size="full").prepare()
        model = Linear(data.spec)
        model.l2 = l2
        assert penalizes(torch.optim.LBFGS)
        fit(model, data, **newton())
        slopes.append(line_of(model)[0])
    # The mean of squares and l2/2 times the square of one weight: the weight falls to 2 / (2 + l2).
    assert slopes[1] == pytest.approx(slopes[0] * 2 / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("spec", "settings", "says"),
    [
        (Spec(Series(3), Classes(("a", "b"))), {}, "inputs of type Series"),
        (Spec(Vector(3), Tags(("a", "b"))), {}, "targets of type Tags"),
        (Spec(Vector(3), Classes(("a", "b"))), {"dropout": 1.0}, "dropout must be"),
        (Spec(Vector(3), Classes(("a", "b"))), {"initialization": "ones"}, "initialization"),
    ],
)
def test_refuses_what_it_cannot_take(spec, settings, says):
    with pytest.raises((InputError, TypeCheckError), match=says):  # The latter is how tests refuse an unknown name.
        Linear(spec, **settings)
