"""Matrix factorization."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import primer
from primer.batch import Batch
from primer.checkpoints.spec_schema import check_spec
from primer.data.recommendation.ratings import Ratings
from primer.errors import InputError
from primer.export.description import describe_inputs
from primer.export.export import trace
from primer.export.graph import example
from primer.models.recommendation.matrix_factorization import MatrixFactorization
from primer.objectives import GaussianNLL
from primer.run.training import train
from primer.spec import Interactions, Spec, Values

SPEC = Spec(Interactions(("", "a", "b", "c"), ("", "x", "y", "z")), Values(("rating",), (3.0,), (0.5,)))


def filled(**settings: Any) -> MatrixFactorization:
    model = MatrixFactorization(SPEC, factors=2, **settings)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data[1:] = torch.randn(parameter[1:].shape, generator=generator)
    return model


def test_a_rating_is_the_mean_plus_biases_plus_the_product_of_factors() -> None:
    model = filled()
    pairs = torch.tensor([[1, 2], [3, 3], [0, 2], [2, 0], [0, 0]])
    expected = [
        3 + 0.5 * float(
            model.user_biases.weight[u, 0] + model.item_biases.weight[i, 0]
            + model.users.weight[u] @ model.items.weight[i]
        )
        for u, i in pairs.tolist()
    ]  # fmt: skip
    assert model.predict_batch(Batch(pairs)).flatten().tolist() == pytest.approx(expected)
    # With an unseen user or item, the bias of the other one remains; with both, the mean.
    assert expected[2] == pytest.approx(3 + 0.5 * model.item_biases.weight[2].item())
    assert expected[4] == 3


def test_each_embedding_has_a_decay_of_its_own() -> None:
    model = filled(user_decay=0.1, item_decay=0.01, bias_decay=0.001)
    expected = sum(
        decay / 2 * layer.weight.square().sum()
        for layer, decay in (
            (model.users, 0.1), (model.items, 0.01), (model.user_biases, 0.001), (model.item_biases, 0.001),
        )
    )  # fmt: skip
    assert model.has_penalty
    assert model.penalty().item() == pytest.approx(float(expected))
    assert not filled().has_penalty


def test_it_fits_a_table_of_ratings(quiet_trainer: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(1, 4), torch.arange(1, 4))
    batch = Batch(pairs, 3 + torch.randn(9, 1, generator=generator))
    torch.manual_seed(0)
    model = MatrixFactorization(SPEC, factors=4)
    model.optimizer = partial(torch.optim.Adam, lr=0.05)
    before = model.step(batch).loss.item()
    quiet_trainer(max_steps=200).fit(model, torch.utils.data.DataLoader([batch] * 200, batch_size=None))
    after = model.step(batch).loss.item()
    record_figure(f"matrix_factorization: loss {after:.2g} on one batch, before training {before:.2g}")
    assert after < 0.001 * before
    assert not model.users.weight[0].any()
    assert not model.item_biases.weight[0].any()


def test_it_beats_biases(run_in_process, tmp_path: Path) -> None:
    run = run_in_process("train.py", "model=matrix_factorization", "optimizer.lr=0.01", "trainer.max_epochs=8")
    assert run.status == 0, run.err
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics["test/rmse"] < 0.87 * metrics["baseline/test/rmse"]
    assert metrics["test/rmse"] == pytest.approx(metrics["test/mse"] ** 0.5, rel=1e-5)
    check_predictions(run, run_in_process, tmp_path)


def check_predictions(run: Any, run_in_process, folder: Path) -> None:
    """Predictions for a file equal those in process, and those of the test."""
    data = Ratings().prepare()
    kind, batch = data.spec.input, data.whole("test")
    assert isinstance(kind, Interactions)
    assert batch.targets is not None
    users, items = ([names[k] for k in batch.inputs[:, c].tolist()] for c, names in enumerate((kind.users, kind.items)))
    model = primer.load(run.folder)
    values = model.predict({"item": items, "user": users}).values
    assert values is not None
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert np.square(values - batch.targets.numpy()).mean() ** 0.5 == pytest.approx(metrics["test/rmse"], rel=1e-5)
    (folder / "pairs.csv").write_text(f"item,user\n{items[0]},{users[0]}\n{items[0]},\n{items[0]},nobody\n")
    result = run_in_process("predict.py", f"run={run.folder}", f"input={folder}/pairs.csv", f"output={folder}/out.csv")
    assert result.status == 0, result.err
    assert "line 3: 'user' is missing" in result.err
    assert "values that training did not see are encoded as zeros: user=nobody (1)" in result.err
    rows = (folder / "out.csv").read_text().splitlines()
    assert rows[0] == "line,prediction,error"
    assert float(rows[1].split(",")[1]) == pytest.approx(values[0, 0], rel=1e-5)
    assert rows[2] == "3,,'user' is missing"
    assert float(rows[3].split(",")[1]) == pytest.approx(model.predict([{"user": "?x", "item": items[0]}]).values[0, 0])


def test_it_is_exported() -> None:
    model = filled().eval()
    program, names = trace(model)
    (pairs,) = example(SPEC, 5, 2, seed=1)
    assert names == ["inputs"]
    torch.testing.assert_close(program.module()(pairs), model.predict_batch(Batch(pairs)))
    (inputs,) = describe_inputs(model)
    assert (inputs["type"], inputs["users"]) == ("int64", ["", "a", "b", "c"])


def test_malformed_interactions_are_refused() -> None:
    plain = SPEC.to_dict()
    check_spec(plain)
    for change in ({"items": []}, {"names": ["user"]}):
        with pytest.raises(InputError, match="must have users, items, and the names of two columns"):
            check_spec(plain | {"input": plain["input"] | change})


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(InputError, match="factors"):
        MatrixFactorization(SPEC, factors=0)
    with pytest.raises(InputError, match=r"item_decay must be finite and at least 0, not -1\.0"):
        MatrixFactorization(SPEC, item_decay=-1.0)
    with pytest.raises(InputError, match="GaussianNLL needs 2 outputs"):
        MatrixFactorization(SPEC, objective=GaussianNLL(SPEC.target))


@pytest.mark.slow
def test_recipe(command, data_dir_or_skip, record_figure) -> None:
    folder = data_dir_or_skip("ratings").parent
    common = ("experiment=ratings_mf", f"paths.data_dir={folder}", "data.folds=5")
    scores = [train(command("train", f"fold{k}", *common, f"data.fold={k}")) for k in range(5)]
    rmse, baseline = (float(np.mean([score[name] for score in scores])) for name in ("test/rmse", "baseline/test/rmse"))
    record_figure(f"ratings_mf: five-fold RMSE {rmse:.4f}, biases {baseline:.4f}")
    assert rmse <= 0.88
    assert rmse < 0.98 * baseline
