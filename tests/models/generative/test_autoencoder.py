"""Autoencoders: shapes, what they reconstruct, and PCA as their baseline."""

from __future__ import annotations

import json

import pytest
import torch
from sklearn.decomposition import PCA

from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.data.tables.tables import Wine
from primer.errors import InputError
from primer.models.generative.autoencoder import Autoencoder
from primer.models.generative.best_linear import fit_best_linear
from primer.spec import Image, NoTarget, Spec, Vector

GRAY = Spec(Image(1, 28, 28, (0.13,), (0.31,)), NoTarget())
QUICK = ("trainer.max_epochs=2", "~callbacks.report", "accelerator=cpu")


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        (Image(1, 28, 28), "convolutional"),
        (Image(3, 33, 50), "convolutional"),
        (Image(3, 5, 7), "dense"),
        (Vector(5), "dense"),
        (Vector(5), "auto"),
        (Image(1, 8, 8), "auto"),
    ],
)
def test_reconstructions_have_the_shape_of_the_inputs(kind: Image | Vector, architecture: str) -> None:
    model = Autoencoder(Spec(kind, NoTarget()), code_size=3, architecture=architecture, hidden_sizes=[8], channels=[4])
    shape = (2, kind.channels, kind.height, kind.width) if isinstance(kind, Image) else (2, kind.features)
    inputs = torch.rand(shape)
    assert model(inputs).shape == shape
    assert model.encode(inputs).shape == (2, 3)
    assert any(isinstance(layer, torch.nn.Conv2d) for layer in model.modules()) == (
        isinstance(kind, Image) and architecture != "dense"
    )


def test_the_loss_is_the_error_of_intensities() -> None:
    torch.manual_seed(0)
    model = Autoencoder(GRAY, code_size=4)
    pixels = torch.rand(6, 1, 28, 28)
    inputs = (pixels - 0.13) / 0.31
    decoded = model(inputs) * 0.31 + 0.13
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert model.step(Batch(inputs)).loss.item() == pytest.approx((decoded - pixels).square().mean().item(), rel=1e-4)


def test_corruption_is_applied_in_training_only() -> None:
    model = Autoencoder(GRAY, denoising="mask", corruption=0.4)
    pixels = torch.rand(50, 1, 28, 28) + 0.5
    inputs = (pixels - 0.13) / 0.31
    corrupted = model.original(model.corrupt(inputs))
    masked = corrupted.abs() < 1e-6
    assert masked.float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert torch.allclose(corrupted[~masked], pixels[~masked], atol=1e-5)
    noisy = Autoencoder(GRAY, denoising="noise", corruption=0.2)
    assert (noisy.original(noisy.corrupt(inputs)) - pixels).std().item() == pytest.approx(0.2, abs=0.01)
    batch = Batch(inputs[:4])
    assert model.step(batch).loss != model.step(batch).loss
    model.eval()
    assert model.step(batch).loss == model.step(batch).loss
    plain = Autoencoder(GRAY)
    assert plain.corrupt(inputs) is inputs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "convolutional", "channels": [2] * 5}, "at least 32x32 are needed"),
        ({"architecture": "convolutional", "channels": []}, "at least one convolution"),
        ({"code_size": 0}, "code_size must be at least 1"),
        ({"hidden_sizes": [4, 0]}, r"hidden_sizes\[1\] must be at least 1"),
        ({"denoising": "mask", "corruption": 1.0}, "corruption must be"),
    ],
)
def test_settings_out_of_range_are_rejected(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Autoencoder(GRAY, **settings)


def test_convolutions_are_rejected_for_vectors() -> None:
    with pytest.raises(InputError, match="use dense for vectors"):
        Autoencoder(Spec(Vector(3), NoTarget()), architecture="convolutional")


@pytest.mark.parametrize("data", [Digits(), Wine()])
def test_pca_agrees_with_scikit_learn(data: Digits | Wine) -> None:
    model = Autoencoder(data.prepare().spec, code_size=5)
    pca = fit_best_linear(data, model)
    assert pca is not None
    train, test = (model.original(data.whole(part).inputs).flatten(1) for part in ("train", "test"))
    reference = PCA(5, svd_solver="full").fit(train.double().numpy())
    expected = reference.inverse_transform(reference.transform(test.double().numpy()))
    assert torch.allclose(pca(test).double(), torch.from_numpy(expected), atol=1e-3)


def test_samples_that_are_too_large_have_no_baseline() -> None:
    model = Autoencoder(Spec(Image(3, 64, 64), NoTarget()), hidden_sizes=[2])
    assert fit_best_linear(Digits().prepare(), model) is None


@pytest.mark.parametrize("architecture", ["dense", "convolutional"])
def test_it_memorizes_one_batch(architecture: str) -> None:
    torch.manual_seed(0)
    inputs = Digits().prepare().whole("train").inputs[:10]
    model = Autoencoder(Spec(Image(1, 8, 8, (0.3,), (0.37,)), NoTarget()), code_size=8, architecture=architecture)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    first = model.step(Batch(inputs)).loss.item()
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.step(Batch(inputs)).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first


def test_a_run_reports_pca_and_draws_pictures(run_in_process) -> None:
    result = run_in_process("train.py", "model=autoencoder", "model.denoising=noise", *QUICK)
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert 0 < metrics["baseline/test/loss"] < metrics["test/loss"] < 0.2
    assert "PCA with 32 components" in result.out
    names = {"reconstructions", "interpolations", "latent_map", "neighbors"}
    pictures = {file.stem: file.stat().st_size for file in (result.folder / "pictures").iterdir()}
    assert names <= pictures.keys()
    assert all(pictures[name] > 3000 for name in names)
    evaluation = run_in_process("evaluate.py", f"run={result.folder}", "accelerator=cpu")
    measured = json.loads((evaluation.folder / "metrics.json").read_text())
    assert measured["test/loss"] == pytest.approx(metrics["test/loss"], rel=1e-5)
    assert measured["baseline/test/loss"] == pytest.approx(metrics["baseline/test/loss"], rel=1e-5)


def test_a_run_on_a_table_draws_the_map_alone(run_in_process) -> None:
    result = run_in_process("train.py", "model=autoencoder", "model.code_size=2", "data=wine", *QUICK)
    assert result.status == 0, result.err
    drawn = {file.stem for file in (result.folder / "pictures").iterdir()}
    assert "latent_map" in drawn
    assert not drawn & {"reconstructions", "interpolations", "neighbors"}
