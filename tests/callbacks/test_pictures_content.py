"""Pictures show the results of the model on the test set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.pictures import EVERYTHING, pictures_of
from matplotlib.image import imread
from sklearn.metrics import confusion_matrix

from primer.callbacks import Pictures
from primer.callbacks.collecting import Top
from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.data.series.series import TimeSeries
from primer.data.tables.csv_table import CSVTable
from primer.data.tables.noisy_surface import NoisySurface
from primer.data.tables.tables import Diabetes, Iris
from primer.data.tables.xor import XOR
from primer.data.text.dates import Dates
from primer.data.text.pos_tags import PosTags
from primer.models.convolutional.lenet import LeNet
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.objectives import BinaryCrossEntropy, CrossEntropy
from primer.regularization import Shift
from primer.reports import images as drawing
from primer.reports import predictions
from primer.spec import Classes, Image, Spec, Values


class Brightness(Digits):
    """Digits with two values to predict: the brightness of the image, and the digit."""

    targets = Values

    def labels(self, records: Any) -> None:  # type: ignore[override]
        return None

    def fit_spec(self, train: Any) -> Spec:
        targets = self.encode(train).targets
        assert targets is not None
        mean, std = targets.mean(0).tolist(), targets.std(0).tolist()
        return Spec(super().fit_spec(train).input, Values(("brightness", "digit"), tuple(mean), tuple(std)))

    def encode(self, records: Any) -> Any:
        return records._replace(targets=torch.stack([records.inputs.mean((1, 2, 3)), records.targets.float()], 1))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, ...]]:
    """Records the arguments of the last call of each drawing function."""
    calls: dict[str, tuple[Any, ...]] = {}
    for name in ("confusion", "filters", "feature_maps", "captioned", "predictions"):
        module = predictions if name == "predictions" else drawing
        real = getattr(module, f"draw_{name}")

        def spy(*arguments: Any, name: str = name, real: Any = real, **options: Any) -> Any:
            calls[name] = arguments
            return real(*arguments, **options)

        monkeypatch.setattr(module, f"draw_{name}", spy)
    return calls


def predict_test_set(model: Any, data: DataModule) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the inputs of the test set as stored, its targets, and the outputs of the model."""
    part = data.parts["test"]
    (batch,) = list(data.loader("test", train=False))
    with torch.no_grad():
        return part.inputs, part.targets, model.eval()(batch.inputs)


@pytest.mark.parametrize(
    ("kind", "model", "expected"),
    [
        (Iris, MLP, ["activations", "confusion", "probabilities"]),
        (XOR, MLP, ["activations", "confusion", "probabilities", "regions"]),
        (lambda: PosTags(sentences=60), GRU, ["confusion", "examples"]),
        (Diabetes, MLP, ["activations", "predictions"]),
        (NoisySurface, MLP, ["activations", "predictions", "regions"]),
        (lambda: TimeSeries("sunspots", "sunspots", window=8), GRU, ["forecast", "predictions"]),
        (lambda: Dates(samples=80), Seq2Seq, ["examples"]),
    ],
    ids=["iris", "xor", "tags", "numbers", "surface", "series", "dates"],
)
def test_pictures_of_each_kind_of_data(kind, model, expected, quiet_trainer, tmp_path, drawn, capsys) -> None:
    data = kind().prepare()
    assert pictures_of(model(data.spec), data, tmp_path / "pictures", quiet_trainer) == expected
    assert "warning" not in capsys.readouterr().out
    for name in expected:
        pixels = imread(tmp_path / "pictures" / f"{name}.png")
        assert pixels[..., :3].std() > 0.02, name
    if "confusion" in expected:
        counts, names = drawn["confusion"]
        assert counts.shape == (len(names), len(names))
        lengths = data.parts["test"].lengths
        assert counts.sum() == (data.parts["test"].size if lengths is None else lengths.sum())


def test_worst_mistakes_have_the_highest_loss(quiet_trainer, tmp_path, drawn) -> None:
    torch.manual_seed(1)
    data = Digits(eval_batch_size=1000).prepare()
    model = MLP(data.spec)
    images, targets, logits = predict_test_set(model, data)
    loss = F.cross_entropy(logits, targets, reduction="none")
    predicted = logits.argmax(1)
    worst = [k for k in loss.argsort(descending=True).tolist() if predicted[k] != targets[k]][:10]
    data.eval_batch_size = 100
    pictures_of(model, data, tmp_path, quiet_trainer, mistakes=10)
    shown, captions, title = drawn["captioned"]
    torch.testing.assert_close(shown, images[worst], atol=1e-5, rtol=0)
    assert captions == [f"{targets[k]}\n→ {predicted[k]} ({logits[k].softmax(0)[predicted[k]]:.0%})" for k in worst]
    assert title.startswith("worst mistakes")
    counts, names = drawn["confusion"]
    np.testing.assert_array_equal(counts.numpy(), confusion_matrix(targets, predicted))
    assert names == tuple("0123456789")


def test_uncertain_but_correct_predictions_are_not_mistakes(quiet_trainer, tmp_path, drawn) -> None:
    data = Digits().prepare()
    model = Linear(data.spec)  # All zeros: the first class is predicted, and every loss is the same.
    pictures_of(model, data, tmp_path, quiet_trainer, mistakes=1000)
    targets = data.parts["test"].targets
    assert targets is not None
    wrong = targets != 0
    assert len(drawn["captioned"][0]) == wrong.sum() < len(targets)
    torch.testing.assert_close(drawn["captioned"][0], data.parts["test"].inputs[wrong], atol=1e-5, rtol=0)


def test_worst_mistakes_with_a_single_logit(quiet_trainer, tmp_path, drawn) -> None:
    torch.manual_seed(0)
    data = Digits().prepare()
    for part, batch in data.parts.items():
        data.parts[part] = batch._replace(targets=batch.targets % 2)  # type: ignore[operator,union-attr]
    data._spec = Spec(data.spec.input, Classes(("even", "odd")))
    model = MLP(data.spec, objective=BinaryCrossEntropy(data.spec.target))
    images, targets, logits = predict_test_set(model, data)
    loss = F.binary_cross_entropy_with_logits(logits[:, 0], targets.float(), reduction="none")
    pictures_of(model, data, tmp_path, quiet_trainer, mistakes=5)
    worst = loss.argsort(descending=True)[:5]
    torch.testing.assert_close(drawn["captioned"][0], images[worst], atol=1e-5, rtol=0)
    confidence = 1 - (-loss[worst]).exp()
    assert drawn["captioned"][1] == [
        f"{('even', 'odd')[t]}\n→ {('odd', 'even')[t]} ({p:.0%})"
        for t, p in zip(targets[worst], confidence, strict=True)
    ]


def test_log_probabilities_match_the_loss() -> None:
    logits, targets = torch.randn(50, 3) * 30, torch.randint(0, 3, (50,))
    three = CrossEntropy(Classes(("a", "b", "c")))
    logs = three.log_probabilities(logits)
    torch.testing.assert_close(-logs.gather(1, targets[:, None]).mean(), three.loss(logits, targets)[0])
    two = BinaryCrossEntropy(Classes(("a", "b")))
    targets = targets % 2
    logs = two.log_probabilities(logits[:, :1])
    torch.testing.assert_close(-logs.gather(1, targets[:, None]).mean(), two.loss(logits[:, :1], targets)[0])
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(50))


def test_pictures_of_regression_on_images(quiet_trainer, tmp_path, drawn) -> None:
    torch.manual_seed(0)
    data = Brightness().prepare()
    model = LeNet(data.spec)
    images, targets, outputs = predict_test_set(model, data)
    predicted = model.objective.predict(outputs)
    assert isinstance(data.spec.target, Values)
    error = ((predicted - targets).abs() / torch.tensor(data.spec.target.std)).mean(1)
    worst = error.argsort(descending=True)[:16]
    data.eval_batch_size = 50
    assert pictures_of(model, data, tmp_path, quiet_trainer) == [
        "activations", "feature_maps", "filters", "mistakes", "predictions"
    ]  # fmt: skip
    torch.testing.assert_close(drawn["captioned"][0], images[worst], atol=1e-5, rtol=0)
    k = worst[0]
    true, guess = (f"{values[k, 0]:.3g}, {values[k, 1]:.3g}" for values in (targets, predicted))
    assert drawn["captioned"][1][0] == f"{true}\n→ {guess}"
    torch.testing.assert_close(drawn["predictions"][0], predicted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(drawn["predictions"][1], targets)
    assert drawn["predictions"][2] == ("brightness", "digit")


def test_pictures_of_values_far_from_zero_are_in_their_unit(quiet_trainer, tmp_path, drawn) -> None:
    truth = [1e9 + k % 7 / 8 for k in range(100)]
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{y - 1e9},{y}\n" for y in truth))
    data = CSVTable(tmp_path / "t.csv", target="y", task="regression").prepare()
    assert "predictions" in pictures_of(MLP(data.spec), data, tmp_path / "pictures", quiet_trainer)
    predicted, true, _ = drawn["predictions"]
    assert set(true[:, 0].tolist()) <= set(truth)
    assert ((predicted - 1e9).abs() < 10).all()


def test_a_sheet_shows_augmented_images(quiet_trainer, tmp_path, drawn) -> None:
    data = Digits(augmentation=[Shift(2)]).prepare()
    trainer = quiet_trainer(callbacks=[Pictures(tmp_path, augmented=3)], max_steps=1)
    trainer.fit(LeNet(data.spec), data)
    assert (tmp_path / "augmented.png").exists()
    tiles, captions, *_ = drawn["captioned"]
    assert captions == ["original", *["augmented"] * 6] * 3
    assert tiles.shape == (21, 1, 8, 8)
    for (original, *versions), image in zip(tiles.split(7), data.parts["train"].inputs, strict=False):
        torch.testing.assert_close(original, image, atol=1e-5, rtol=0)
        assert any(not torch.allclose(version, original, atol=1e-5) for version in versions)


def test_feature_maps_show_images_spread_over_the_test_set(quiet_trainer, tmp_path, drawn) -> None:
    data = Digits().prepare()
    model = LeNet(data.spec)
    pictures_of(model, data, tmp_path, quiet_trainer, images=5)
    shown, maps = drawn["feature_maps"]
    stored = data.parts["test"].inputs
    indices = [int((stored - image).abs().flatten(1).amax(1).argmin()) for image in shown]
    torch.testing.assert_close(shown, stored[indices], atol=1e-5, rtol=0)
    assert len(set(indices)) == 5
    assert min(indices) < len(stored) / 3 < len(stored) * 2 / 3 < max(indices)
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        "c1.0": (5, 6, 28, 28),
        "c3.0": (5, 16, 10, 10),
    }
    assert torch.equal(drawn["filters"][0], model.c1[0].weight)


def test_second_test_does_not_reuse_results(quiet_trainer, tmp_path, drawn) -> None:
    data = Digits(eval_batch_size=100).prepare()
    trainer = quiet_trainer(callbacks=[Pictures(tmp_path)])
    trainer.test(MLP(data.spec), data, verbose=False)
    model = MLP(data.spec)
    trainer.test(model, data, verbose=False)
    second = drawn["captioned"]
    pictures_of(model, data, tmp_path, quiet_trainer)
    assert torch.equal(second[0], drawn["captioned"][0])
    assert second[1] == drawn["captioned"][1]


def test_pictures_of_a_hundred_classes_in_color(quiet_trainer, tmp_path, drawn) -> None:
    data = Digits().prepare()
    for part, batch in data.parts.items():
        inputs = torch.randint(0, 256, (batch.size, 3, 12, 10), dtype=torch.uint8)
        data.parts[part] = batch._replace(inputs=inputs, targets=torch.arange(batch.size) % 100)
    data._spec = Spec(
        Image(3, 12, 10, (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)), Classes(tuple(f"class {k}" for k in range(100)))
    )
    torch.manual_seed(0)
    model = LeNet(data.spec)
    assert pictures_of(model, data, tmp_path, quiet_trainer) == EVERYTHING
    assert drawn["confusion"][0].shape == (100, 100)
    assert drawn["confusion"][0].sum() == data.parts["test"].size
    stored = data.parts["test"].inputs / 255
    gaps = [(stored - image).abs().flatten(1).amax(1).min() for image in drawn["captioned"][0]]
    assert max(gaps) < 1e-5  # In their original colors.


def test_top_keeps_the_highest_scores_and_the_earlier_of_ties() -> None:
    scores, indices = torch.tensor([1.0, 3, 2, 3, -math.inf, 3, 5, 2]), torch.arange(8)
    for size in (1, 2, 3, 8):
        top = Top(4)
        for chunk in zip(scores.split(size), indices.split(size), strict=True):
            top.offer(*chunk)
        assert top.rows[1].tolist() == [6, 1, 3, 5]
    empty = Top(0)
    empty.offer(scores, indices)
    assert empty.rows[1].tolist() == []
