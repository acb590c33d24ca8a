"""Variational autoencoders: the terms of their loss, and what a run reports."""

from __future__ import annotations

import json

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.generative.vae import VAE, kl_divergence
from primer.spec import Image, NoTarget, Spec, Vector

GRAY = Spec(Image(1, 8, 8, (0.3,), (0.4,)), NoTarget())
QUICK = ("trainer.max_epochs=3", "~callbacks.report", "accelerator=cpu")


def test_the_kl_divergence_equals_its_integral() -> None:
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.9, 0.4]])
    points = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    total = 0.0
    for m, v in zip(mean[0].double(), log_variance[0].double(), strict=True):
        q, p = Normal(m, (v / 2).exp()), Normal(0.0, 1.0)
        density = q.log_prob(points).exp() * (q.log_prob(points) - p.log_prob(points))
        total += torch.trapezoid(density, points).item()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(total, rel=1e-5)
    assert kl_divergence(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_the_error_of_images_is_the_expectation_over_their_binarizations() -> None:
    torch.manual_seed(0)
    model = VAE(GRAY, code_size=3, hidden_sizes=[16])
    codes, pixels = torch.randn(1, 3), torch.rand(1, 1, 8, 8)
    decoded = Bernoulli(logits=model.decoder(codes))
    expected = -(pixels * decoded.log_prob(torch.ones(())) + (1 - pixels) * decoded.log_prob(torch.zeros(()))).sum()
    assert model.reconstruction_error(codes, pixels).item() == pytest.approx(expected.item(), rel=1e-5)
    black = torch.zeros(1, 1, 8, 8)
    assert model.reconstruction_error(codes, black).item() == pytest.approx(-decoded.log_prob(black).sum().item())


def test_the_error_of_vectors_is_that_of_a_normal_distribution() -> None:
    model = VAE(Spec(Vector(4), NoTarget()), code_size=2, hidden_sizes=[8])
    codes, samples = torch.randn(5, 2), torch.randn(5, 4)
    expected = -Normal(model.decoder(codes), 1.0).log_prob(samples).sum(1)
    assert torch.allclose(model.reconstruction_error(codes, samples), expected, atol=1e-5)


def test_beta_weighs_the_divergence() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(6, 1, 8, 8)
    one, four = VAE(GRAY, beta=1.0).eval(), VAE(GRAY, beta=4.0).eval()
    four.load_state_dict(one.state_dict())
    kl = kl_divergence(*one.distribution(inputs)).mean()
    difference = four.step(Batch(inputs)).loss - one.step(Batch(inputs)).loss
    assert difference.item() == pytest.approx(3 * kl.item(), rel=1e-3)


def test_the_loss_in_evaluation_does_not_depend_on_the_batch_size() -> None:
    inputs = Digits().prepare().whole("test").inputs[:50]
    model = VAE(GRAY, hidden_sizes=[16]).eval()
    whole = model.step(Batch(inputs)).loss.item()
    parts = [model.step(Batch(part)).loss.item() * len(part) for part in inputs.split(7)]
    assert sum(parts) / 50 == pytest.approx(whole, rel=1e-5)
    noise = model.fixed_noise(inputs)
    assert len(noise.unique(dim=0)) > 40  # Samples rarely share their noise.
    assert torch.equal(noise[30:], model.fixed_noise(inputs[30:]))
    model.train()
    assert model.step(Batch(inputs)).loss.item() != model.step(Batch(inputs)).loss.item()


def test_a_negative_beta_is_rejected() -> None:
    with pytest.raises(InputError, match="beta must be at least 0"):
        VAE(GRAY, beta=-1.0)


def test_a_run_reports_the_bound_and_active_units(run_in_process) -> None:
    result = run_in_process("train.py", "model=vae", "model.code_size=6", *QUICK)
    assert result.status == 0, result.err
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test/elbo"] == pytest.approx(-metrics["test/loss"], rel=1e-5)
    assert 0 < metrics["test/kl"] < metrics["test/loss"]
    assert 0 <= metrics["test/active_units"] <= 6
    names = {"reconstructions", "interpolations", "latent_map", "neighbors", "samples", "samples_over_time"}
    assert names <= {file.stem for file in (result.folder / "pictures").iterdir()}
    evaluation = run_in_process("evaluate.py", f"run={result.folder}", "accelerator=cpu")
    measured = json.loads((evaluation.folder / "metrics.json").read_text())
    assert measured == pytest.approx({name: metrics[name] for name in measured}, rel=1e-4)


def test_a_run_with_a_large_beta_has_no_active_units(run_in_process) -> None:
    settings = ("model=vae", "model.beta=1000.0", "data=wine", "trainer.max_epochs=40", "optimizer.lr=0.01")
    result = run_in_process("train.py", *settings, "~callbacks.report", "~callbacks.pictures", "accelerator=cpu")
    assert result.status == 0, result.err
    assert json.loads((result.folder / "metrics.json").read_text())["test/active_units"] == 0
