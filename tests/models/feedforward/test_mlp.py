"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.optim import Adam

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.objectives import MSE, GaussianNLL
from primer.spec import Classes, Image, Spec, Values, Vector

VECTORS = Spec(Vector(5), Classes(("a", "b", "c")))


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_counts() -> None:
    assert parameter_count(MLP(VECTORS, hidden_sizes=(7, 4))) == (5 * 7 + 7) + (7 * 4 + 4) + (4 * 3 + 3)
    assert parameter_count(MLP(VECTORS, hidden_sizes=())) == 5 * 3 + 3
    assert parameter_count(MLP(VECTORS, hidden_sizes=(7,), normalization="batch")) == (5 * 7 + 7) + 2 * 7 + (7 * 3 + 3)
    images = Spec(Image(1, 28, 28), Classes(tuple("0123456789")))
    assert parameter_count(MLP(images, hidden_sizes=(64, 128, 64))) == 67_466


def test_order_of_layers() -> None:
    model = MLP(VECTORS, hidden_sizes=(7,), normalization="layer", activation="tanh", dropout=0.2)
    assert [type(layer) for layer in model.hidden] == [nn.Linear, nn.LayerNorm, nn.Tanh, nn.Dropout]
    model = MLP(VECTORS, hidden_sizes=(7,), activation="identity")
    assert [type(layer) for layer in model.hidden] == [nn.Linear]


@pytest.mark.parametrize("activation", ["step", "sigmoid", "tanh", "softmax", "relu", "leaky_relu", "gelu"])
@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "group"])
def test_every_combination_has_finite_gradients(activation: Any, normalization: Any) -> None:
    torch.manual_seed(0)
    model = MLP(VECTORS, hidden_sizes=(16, 8), activation=activation, normalization=normalization)
    outputs = model(torch.randn(6, 5))
    assert outputs.shape == (6, 3)
    model.objective.loss(outputs, torch.tensor([0, 1, 2, 0, 1, 2]))[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_images_are_flattened() -> None:
    torch.manual_seed(0)
    model = MLP(Spec(Image(2, 3, 4), Classes(("a", "b"))), hidden_sizes=(7,))
    images = torch.randn(6, 2, 3, 4)
    assert torch.equal(model(images), model(images.flatten(1)))


def test_the_objective_determines_the_number_of_outputs() -> None:
    values = Values(("x", "y"))
    assert MLP(Spec(Vector(5), values), objective=MSE(values)).outputs == 2
    assert MLP(Spec(Vector(5), values), objective=GaussianNLL(values))(torch.zeros(3, 5)).shape == (3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_sizes": (3, 0)}, "hidden_sizes must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, not 1.0"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLP(VECTORS, **settings)


def test_overfits_one_batch(quiet_trainer: Callable[..., L.Trainer]) -> None:
    torch.manual_seed(0)
    data = Digits(train_size=32, batch_size="full").prepare()
    model = MLP(data.spec)
    model.optimizer = partial(Adam, lr=0.01)
    trainer = quiet_trainer(max_epochs=60, limit_val_batches=0)
    trainer.fit(model, data)
    assert trainer.callback_metrics["train/loss"] < 0.01


def test_beats_the_nearest_class_mean_on_digits(
    quiet_trainer: Callable[..., L.Trainer], record_figure: Callable[[str], None]
) -> None:
    """Compares test accuracy after 8 epochs with a nearest-class-mean classifier fit on the same training part:
    0.964 against 0.905."""
    torch.manual_seed(0)
    data = Digits().prepare()
    train, test = data.parts["train"], data.parts["test"]
    assert train.targets is not None
    assert test.targets is not None
    means = torch.stack([train.inputs[train.targets == k].mean(0).flatten() for k in range(10)])
    nearest = torch.cdist(test.inputs.flatten(1), means).argmin(1)
    baseline = (nearest == test.targets).float().mean().item()

    model = MLP(data.spec)
    model.optimizer = partial(Adam, lr=0.003)
    trainer = quiet_trainer(max_epochs=8)
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    accuracy = trainer.callback_metrics["test/accuracy"].item()
    record_figure(f"digits, nearest class mean {baseline:.4f}, MLP after 8 epochs {accuracy:.4f}")
    assert 0.85 < baseline < 0.93
    assert accuracy > baseline + 0.04


def test_shapes_and_dtypes_are_checked_in_tests() -> None:
    with pytest.raises(TypeCheckError):
        MLP(VECTORS)(torch.zeros(3, 5, dtype=torch.long))
