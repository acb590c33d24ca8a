"""The baseline beside a model is counted in the training part and tested on the same samples."""

from __future__ import annotations

import pytest
import torch
from helpers.small_models import Sentences, Tagger

from primer.callbacks import Baseline
from primer.data.base import DataModule
from primer.data.series.series import TimeSeries
from primer.data.tables.tables import BreastCancer, Diabetes
from primer.data.text.tagging import most_frequent_tag_accuracy
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.lstm import LSTM
from primer.objectives import BinaryCrossEntropy
from primer.run.results import not_better_than_baseline, show_results
from primer.spec import Classes


def evaluate(model: Model, data: DataModule, quiet_trainer) -> tuple[dict[str, float], Baseline]:
    baseline = Baseline()
    trainer = quiet_trainer(callbacks=[baseline])
    trainer.test(model, data, verbose=False)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}, baseline


@pytest.mark.parametrize("binary", [True, False])
def test_majority_class(binary: bool, quiet_trainer) -> None:
    data = BreastCancer(eval_batch_size=50).prepare()
    target = data.spec.target
    assert isinstance(target, Classes)
    model = MLP(data.spec, objective=BinaryCrossEntropy(target, threshold="auto") if binary else None)
    metrics, baseline = evaluate(model, data, quiet_trainer)
    targets = data.parts["test"].targets  # type: ignore[union-attr]
    train = data.parts["train"].targets  # type: ignore[union-attr]
    majority = train.bincount().argmax()
    assert metrics["baseline/test/accuracy"] == pytest.approx((targets == majority).float().mean().item())
    assert metrics["baseline/test/mcc"] == 0
    assert metrics["baseline/test/auroc"] == 0.5
    assert baseline.description == "always benign, the most frequent class"


def test_mean(quiet_trainer) -> None:
    data = Diabetes().prepare()
    metrics, _ = evaluate(MLP(data.spec), data, quiet_trainer)
    train, test = (data.parts[part].targets for part in ("train", "test"))  # type: ignore[union-attr]
    assert metrics["baseline/test/mse"] == pytest.approx((test - train.mean()).square().mean().item(), rel=1e-4)


def test_naive_forecast(quiet_trainer) -> None:
    data = TimeSeries("sunspots", "sunspots", window=8, horizon=2).prepare()
    metrics, baseline = evaluate(LSTM(data.spec, hidden_size=4), data, quiet_trainer)
    test = data.parts["test"]
    error = (test.inputs[:, -1] - test.targets).abs().mean().item()  # type: ignore[union-attr]
    assert metrics["baseline/test/mae"] == pytest.approx(error, rel=1e-4)
    assert metrics["baseline/test/relative_mae"] == pytest.approx(1)
    assert baseline.description == "the last value of the series"


def test_most_frequent_tag(quiet_trainer) -> None:
    data = Sentences(eval_batch_size=5).prepare()
    train, test = data.parts["train"], data.parts["test"]
    metrics, _ = evaluate(Tagger(data.spec), data, quiet_trainer)
    expected = most_frequent_tag_accuracy(train, test)  # type: ignore[arg-type]
    assert metrics["baseline/test/accuracy"] == pytest.approx(expected)


def test_result_that_is_not_better_is_called_so(quiet_trainer, capsys) -> None:
    data = BreastCancer().prepare()
    model = MLP(data.spec)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    metrics, baseline = evaluate(model, data, quiet_trainer)
    show_results(metrics, model, baseline.description)
    accuracy = metrics["test/accuracy"]
    printed = capsys.readouterr().out
    assert f"note: test/accuracy {accuracy:.4g} is not better than the baseline's" in printed
    assert "always benign, the most frequent class" in printed
    metrics["test/accuracy"] = 0.99
    assert not_better_than_baseline(metrics, model) == []
