"""Linear models: what they can and cannot learn, with each objective."""

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
    """z = 300 x - 2000, with optional noise and outliers."""

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
    """Returns a function that trains a model and returns its test metrics."""

    def run(model, data, epochs, lr=0.05, optimizer=None):
        model.optimizer = optimizer or partial(torch.optim.Adam, lr=lr)
        trainer = quiet_trainer(max_epochs=epochs)
        trainer.fit(model, datamodule=data)
        return trainer.test(model, datamodule=data, verbose=False)[0]

    return run


def lbfgs_settings(epochs=5):
    return {"epochs": epochs, "optimizer": partial(torch.optim.LBFGS, max_iter=20, line_search_fn="strong_wolfe")}


def slope_and_intercept(model):
    """Returns slope and intercept in the units of the data."""
    spec = model.spec
    weight, bias = model.head.weight[0, 0].item(), model.head.bias[0].item()
    slope = weight * spec.target.std[0] / spec.input.std[0]
    return slope, spec.target.mean[0] + bias * spec.target.std[0] - slope * spec.input.mean[0]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# Regression.


def test_regression_recovers_slope_and_intercept(fit):
    data = Line(batch_size="full").prepare()
    model = Linear(data.spec)
    results = fit(model, data, **lbfgs_settings())
    assert slope_and_intercept(model) == pytest.approx((SLOPE, INTERCEPT), rel=1e-3)
    assert results["test/r2"] > 0.9999


def test_regression_equals_least_squares(fit):
    data = Diabetes(batch_size="full").prepare()
    model = Linear(data.spec)
    results = fit(model, data, **lbfgs_settings())
    (train,), (test,) = data.train_dataloader(), data.test_dataloader()
    expected = LinearRegression().fit(train.inputs.numpy(), train.targets.numpy())
    error = np.mean((expected.predict(test.inputs.numpy()) - test.targets.numpy()) ** 2)
    assert results["test/mse"] == pytest.approx(error, rel=0.01)
    # At least 30 % below the error of the training mean.
    baseline = ((test.targets - train.targets.mean()) ** 2).mean().item()
    assert results["test/mse"] < 0.7 * baseline


def test_metrics_are_in_the_units_of_the_data(fit):
    data = Line(noise=50.0).prepare()
    model = Linear(data.spec)
    results = fit(model, data, epochs=2)
    (test,) = data.test_dataloader()
    with torch.no_grad():
        residuals = model.predict_batch(test) - test.targets
    assert results["test/mae"] == pytest.approx(residuals.abs().mean().item(), rel=1e-4)
    assert results["test/mse"] == pytest.approx(residuals.square().mean().item(), rel=1e-4)
    assert results["test/mae"] > 10
    std = data.spec.target.std[0]
    assert results["test/loss"] == pytest.approx(results["test/mse"] / std**2, rel=1e-4)


@pytest.mark.parametrize("objective", [MSE, MAE, Huber, GaussianNLL])
def test_every_regression_objective_fits_a_line(objective, fit):
    data = Line(noise=50.0, batch_size=32).prepare()
    model = Linear(data.spec, objective=objective(data.spec.target))
    results = fit(model, data, epochs=30, lr=0.02)
    assert results["test/mae"] < 50  # The noise alone gives 40, a constant prediction 480.
    if objective is not GaussianNLL:
        assert slope_and_intercept(model) == pytest.approx((SLOPE, INTERCEPT), rel=0.05)


def test_gaussian_likelihood_estimates_the_noise(fit):
    data = Line(noise=100.0, batch_size=32).prepare()
    objective = GaussianNLL(data.spec.target)
    model = Linear(data.spec, objective=objective)
    fit(model, data, epochs=40, lr=0.02)
    (test,) = data.test_dataloader()
    with torch.no_grad():
        deviation = objective.standard_deviation(model(test.inputs))
    assert model.head.out_features == 2
    assert deviation.mean().item() == pytest.approx(100, rel=0.2)


def test_absolute_and_huber_loss_are_robust_to_outliers(fit):
    errors = {}
    for objective in (MSE, MAE, Huber):
        data = Line(outliers=20, batch_size=64).prepare()
        model = Linear(data.spec, objective=objective(data.spec.target))
        fit(model, data, epochs=20, lr=0.03)
        slope, intercept = slope_and_intercept(model)
        errors[objective] = abs(slope * 5 + intercept - (SLOPE * 5 + INTERCEPT))
    assert errors[MAE] < 40
    assert errors[Huber] < 300
    assert errors[MSE] > 600  # 4 % of the samples are off by about 20,000.


# Classification.


@pytest.mark.parametrize("objective", [CrossEntropy, BinaryCrossEntropy])
@pytest.mark.parametrize("gate", ["and", "or"])
def test_learns_the_functions_and_and_or(gate, objective, fit):
    data = XOR(gate=gate).prepare()
    results = fit(Linear(data.spec, objective=objective(data.spec.target)), data, epochs=5)
    assert results["test/accuracy"] >= 0.99


def test_xor_is_learned_by_an_mlp_but_not_by_a_linear_model(fit):
    data = XOR().prepare()
    # A line separates at most three of the four points correctly.
    assert fit(Linear(data.spec), data, epochs=10)["test/accuracy"] < 0.8
    assert fit(Linear(data.spec, initialization="normal"), data, epochs=10)["test/accuracy"] < 0.8
    mlp = MLP(data.spec, hidden_sizes=(8,), activation="tanh")
    assert fit(mlp, data, epochs=10)["test/accuracy"] >= 0.99


def test_a_curved_surface_is_fit_by_a_small_mlp_but_not_by_a_linear_model(fit):
    data = NoisySurface(noise=0.05, test_noise=0).prepare()
    linear = fit(Linear(data.spec), data, epochs=10)["test/r2"]
    mlp = fit(MLP(data.spec, hidden_sizes=(16,), activation="tanh"), data, epochs=20, lr=0.03)["test/r2"]
    assert 0.4 < linear < 0.6  # The best linear fit explains half of the variance.
    assert mlp > 0.95


def test_logistic_regression_on_tables(fit):
    data = BreastCancer(batch_size=16).prepare()
    majority = data.parts["test"].targets.float().mean().item()
    results = fit(Linear(data.spec, objective=BinaryCrossEntropy(data.spec.target)), data, epochs=5, lr=0.03)
    assert majority < 0.65
    assert results["test/accuracy"] > majority + 0.25
    data = Iris(batch_size=16).prepare()
    assert fit(Linear(data.spec), data, epochs=20, lr=0.03)["test/accuracy"] >= 0.9  # Chance level is a third.


def test_overfits_one_batch(fit):
    data = Digits(train_size=32, batch_size="full").prepare()
    model = Linear(data.spec)
    fit(model, data, epochs=60)
    (batch,) = data.train_dataloader()
    assert (model.eval().predict_batch(batch) == batch.targets).all()


# Construction.


def test_accepts_images_and_vectors():
    assert Linear(Digits().prepare().spec).head.weight.shape == (10, 64)
    spec = Spec(Vector(3), Values(("a", "b")))
    assert Linear(spec)(torch.randn(5, 3)).shape == (5, 2)
    assert Linear(spec, objective=GaussianNLL(spec.target))(torch.randn(5, 3)).shape == (5, 4)


def test_dropout_applies_to_the_inputs_in_training_only():
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


def test_ridge_regression_shrinks_the_slope(fit):
    slopes = []
    for l2 in (0.0, 1.0):
        data = Line(batch_size="full").prepare()
        model = Linear(data.spec)
        model.l2 = l2
        assert penalizes(torch.optim.LBFGS)
        fit(model, data, **lbfgs_settings())
        slopes.append(slope_and_intercept(model)[0])
    # The loss is the mean squared error plus l2/2 times the squared weight, so the weight shrinks to 2 / (2 + l2).
    assert slopes[1] == pytest.approx(slopes[0] * 2 / 3, rel=1e-3)


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        (Spec(Series(3), Classes(("a", "b"))), {}, "inputs of type Series"),
        (Spec(Vector(3), Tags(("a", "b"))), {}, "targets of type Tags"),
        (Spec(Vector(3), Classes(("a", "b"))), {"dropout": 1.0}, "dropout must be"),
        (Spec(Vector(3), Classes(("a", "b"))), {"initialization": "ones"}, "initialization"),
    ],
)
def test_invalid_settings_are_errors(spec, settings, message):
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        Linear(spec, **settings)
