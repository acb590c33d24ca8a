"""The Fréchet distance, recall and class frequencies of generated images."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch.nn import functional as F

from primer import __main__
from primer.callbacks.sample_quality import Features, SampleQuality, frechet_distance, recall
from primer.data.images.images import MNIST
from primer.spec import Image

QUICK = ("trainer.max_epochs=1", "~callbacks.report", "~callbacks.pictures", "accelerator=cpu")


def test_the_distance_of_a_set_from_itself_is_zero() -> None:
    features = torch.randn(500, 20, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features).item() == pytest.approx(0, abs=1e-6)
    assert frechet_distance(features, features + 2).item() == pytest.approx(80, rel=1e-4)


def test_the_distance_agrees_with_a_matrix_square_root() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(300, 6, generator=generator) @ torch.randn(6, 6, generator=generator)
    second = 1 + torch.randn(200, 6, generator=generator) @ torch.randn(6, 6, generator=generator)
    covariances = [np.cov(each.double().numpy().T) for each in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = (first.mean(0) - second.mean(0)).double().square().sum().item()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second).item() == pytest.approx(expected, rel=1e-4)


def test_recall_counts_the_modes_that_are_covered() -> None:
    generator = torch.Generator().manual_seed(0)
    modes = 100 * torch.eye(4)
    real = modes.repeat_interleave(50, 0) + torch.randn(200, 4, generator=generator)
    fake = modes[:3].repeat_interleave(60, 0) + torch.randn(180, 4, generator=generator)
    assert recall(real, fake) == pytest.approx(0.7, abs=0.06)
    assert recall(real, real) == 1
    assert recall(real, torch.zeros(50, 4)) == 0


def test_the_included_classifier_tells_real_digits_from_others(data_dir_or_skip) -> None:
    features = SampleQuality()._load_features("mnist")
    assert features is not None
    assert (features.shape, features.classes) == ((1, 28, 28), 10)
    assert SampleQuality()._load_features("digits") is None
    data = MNIST(data_dir=data_dir_or_skip("MNIST").parent).prepare()
    assert isinstance(data.spec.input, Image)
    train, test = (data.whole(part) for part in ("val", "test"))
    images = {"real": test.inputs[:5000], "blurred": F.avg_pool2d(test.inputs[:5000], 3, 1, 1)}
    real = features(train.inputs, data.spec.input)[0]
    predicted = {name: features(some, data.spec.input) for name, some in images.items()}
    assert (predicted["real"][1] == test.targets[:5000]).float().mean() > 0.985  # type: ignore[index]
    assert frechet_distance(real, predicted["real"][0]) < 1
    assert frechet_distance(real, predicted["blurred"][0]) > 10


@pytest.mark.parametrize("data", ["mnist", "fashionmnist"])
def test_the_included_classifiers_are_small_and_can_be_read(data: str) -> None:
    file = resources.files("primer.data") / "embedded" / f"{data}.safetensors"
    assert len(file.read_bytes()) < 1_000_000
    with resources.as_file(file) as path:
        assert Features(path).shape == (1, 28, 28)


@pytest.fixture
def classifier(run_in_process) -> str:
    """A classifier of digits, exported as safetensors."""
    result = run_in_process("train.py", "model=lenet", "data=digits", *QUICK)
    assert __main__.main(["export", str(result.folder), "format=safetensors"]) == 0
    return str(result.folder / "export" / "model.safetensors")


def test_a_run_judges_its_samples(classifier: str, run_in_process) -> None:
    setting = f"callbacks.sample_quality.classifier={classifier}"
    every = "callbacks.sample_quality.every_n_epochs=1"
    result = run_in_process("train.py", "model=vae", *QUICK, setting, every, "data.eval_batch_size=100")
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    names = {"fid", "recall", "rarest_class", "most_frequent_class"}
    assert {f"{stage}/{name}" for stage in ("val", "test") for name in names} <= metrics.keys()
    assert metrics["test/fid"] > 1
    assert 0 <= metrics["test/rarest_class"] <= 1 <= metrics["test/most_frequent_class"]
    # The samples do not depend on the batch size.
    larger = run_in_process("train.py", "model=vae", *QUICK, setting, every, "data.eval_batch_size=1000")
    others = json.loads((larger.folder / "metrics.json").read_text())
    assert others["test/fid"] == pytest.approx(metrics["test/fid"], rel=1e-3)
    evaluation = run_in_process("evaluate.py", f"run={result.folder}", f"sample_quality.classifier={classifier}")
    measured = json.loads((evaluation.folder / "metrics.json").read_text())
    assert measured["test/fid"] == pytest.approx(metrics["test/fid"], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("callbacks.sample_quality.classifier=none.safetensors",), "there is no such file"),
        (("callbacks.sample_quality.classifier=README.md",), "is not a model that Primer has exported"),
        (("callbacks.sample_quality.every_n_epochs=0",), "every_n_epochs must be at least 1"),
        (("callbacks.generated_samples.every_n_epochs=0",), "every_n_epochs must be at least 1"),
        (("callbacks.latent_space.samples=-1",), "samples must be at least 0"),
    ],
)
def test_settings_that_cannot_be_honored_are_rejected(settings: tuple[str, ...], message: str, run_in_process) -> None:
    result = run_in_process("train.py", "model=vae", *QUICK, *settings)
    assert result.status == 2
    assert message in result.err


def test_other_models_are_not_judged(run_in_process) -> None:
    result = run_in_process("train.py", *QUICK)
    assert result.status == 0, result.err
    assert not any("fid" in name for name in json.loads((result.folder / "metrics.json").read_text()))
