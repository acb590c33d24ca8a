"""L1 and L2 penalties on weights."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from helpers.small_models import Trainer, digits, perceptron, weights
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Rprop

from primer.errors import InputError
from primer.models.base import Model
from primer.optim import Muon, SparseAdam, build_optimizer, decayed


def gradients(model: Model) -> dict[str, Tensor | None]:
    model.zero_grad()
    model.penalty().backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("optimizer", [Rprop, torch.optim.LBFGS, SparseAdam, Adam, AdamW, SGD, Muon])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_penalties_apply_to_weights_only(optimizer: Any, normalization: str) -> None:
    data = digits()
    model = perceptron(data, normalization=normalization)
    model.optimizer, model.l1, model.l2 = optimizer, 0.1, 0.01
    penalized = {"hidden.0.weight", "head.weight"}
    built = build_optimizer(optimizer, model, model.l2)
    decay = {id(p): group.get("weight_decay", 0.0) for group in built.param_groups for p in group["params"]}
    for name, gradient in gradients(model).items():
        parameter = model.get_parameter(name)
        in_loss = optimizer in (Rprop, torch.optim.LBFGS, SparseAdam)
        if name in penalized:
            expected = 0.1 * parameter.sign() + (0.01 * parameter if in_loss else 0.0)
            assert gradient is not None
            assert torch.allclose(gradient, expected)
            assert decay[id(parameter)] == (0.0 if in_loss else 0.01)
        else:
            assert gradient is None or not gradient.any()
            assert decay[id(parameter)] == 0.0


def test_layer_norm_weights_with_several_dimensions_are_not_decayed() -> None:
    class ConvNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.norm = nn.Conv2d(1, 2, 3), nn.LayerNorm([2, 3, 3])

    module = ConvNorm()
    with_decay, without_decay = decayed(module)
    assert [p.shape for p in with_decay] == [module.kernel.weight.shape]
    assert len(without_decay) == 3


@pytest.mark.parametrize("optimizer", [partial(SGD, lr=0.1), partial(Rprop, lr=0.1)])
def test_l2_is_the_same_in_the_loss_and_in_the_optimizer(optimizer: Any, quiet_trainer: Trainer) -> None:
    """One step of gradient descent gives w - lr (g + l2 w)."""
    data = digits(batch_size="full")
    plain_model, penalized_model = perceptron(data), perceptron(data)
    for model, l2 in ((plain_model, 0.0), (penalized_model, 0.5)):
        model.optimizer, model.l2 = optimizer, l2
        quiet_trainer(max_epochs=1).fit(model, data)
    start = perceptron(data)
    for name, before in weights(start).items():
        difference = weights(plain_model)[name] - weights(penalized_model)[name]
        if optimizer.func is SGD:
            expected = 0.1 * 0.5 * before if name.endswith("weight") else torch.zeros_like(before)
            assert torch.allclose(difference, expected, atol=1e-6)
        else:
            assert difference.any() == name.endswith("weight")


def test_weight_decay_of_the_optimizer_is_rejected() -> None:
    """It would apply to biases and normalization parameters, or silently to nothing."""
    data = digits()
    with pytest.raises(InputError, match=r"regularization\.l2"):
        build_optimizer(partial(AdamW, weight_decay=0.1), perceptron(data))
