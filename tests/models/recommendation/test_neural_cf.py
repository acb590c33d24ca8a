"""Neural collaborative filtering."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.errors import InputError
from primer.models.recommendation.neural_cf import NeuralCF
from primer.objectives import GaussianNLL
from primer.spec import Interactions, Spec, Values

SPEC = Spec(Interactions(("", "a", "b", "c"), ("", "x", "y", "z")), Values(("rating",), (3.0,), (0.5,)))


def test_it_fuses_products_and_a_perceptron() -> None:
    model = NeuralCF(SPEC, factors=3, mlp_factors=4, hidden_sizes=(6, 5)).eval()
    pairs = torch.tensor([[1, 2], [3, 3], [0, 2], [2, 0]])
    user, item = pairs.unbind(1)
    products = model.users.weight[user] * model.items.weight[item]
    hidden = torch.cat([model.mlp_users.weight[user], model.mlp_items.weight[item]], 1)
    for layer in (model.mlp[1], model.mlp[4]):
        hidden = (hidden @ layer.weight.T + layer.bias).relu()  # type: ignore[union-attr, operator]
    expected = torch.cat([products, hidden], 1) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(pairs), expected)
    torch.testing.assert_close(model.predict_batch(Batch(pairs)), 3 + 0.5 * expected)
    # Four embeddings, two hidden layers and the output.
    assert sum(p.numel() for p in model.parameters()) == 2 * 4 * (3 + 4) + (8 * 6 + 6) + (6 * 5 + 5) + (3 + 5 + 1)


def test_it_fits_a_table_of_ratings(quiet_trainer: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(1, 4), torch.arange(1, 4))
    batch = Batch(pairs, 3 + torch.randn(9, 1, generator=generator))
    torch.manual_seed(0)
    model = NeuralCF(SPEC)
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    before = model.step(batch).loss.item()
    quiet_trainer(max_steps=200).fit(model, torch.utils.data.DataLoader([batch] * 200, batch_size=None))
    after = model.step(batch).loss.item()
    record_figure(f"neural_cf: loss {after:.2g} on one batch, before training {before:.2g}")
    assert after < 0.001 * before
    assert not model.mlp_users.weight[0].any()


def test_it_beats_biases(run_in_process) -> None:
    run = run_in_process("train.py", "model=neural_cf", "optimizer=adam", "optimizer.lr=0.005", "trainer.max_epochs=6")
    assert run.status == 0, run.err
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["test/rmse"] < 0.9 * metrics["baseline/test/rmse"]


def test_invalid_settings_are_rejected() -> None:
    for settings, problem in (
        ({"factors": 0}, "factors must be at least 1"),
        ({"hidden_sizes": ()}, "the number of hidden_sizes must be at least 1"),
        ({"hidden_sizes": (4, 0)}, r"hidden_sizes\[1\] must be at least 1"),
        ({"dropout": 1.0}, "dropout must be"),
    ):
        with pytest.raises(InputError, match=problem):
            NeuralCF(SPEC, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="GaussianNLL needs 2 outputs"):
        NeuralCF(SPEC, objective=GaussianNLL(SPEC.target))
