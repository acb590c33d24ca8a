"""SimCLR and rotation prediction: their losses, the online probe, and a classifier that starts from their features."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

import primer
from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Model
from primer.models.self_supervised.backbone import BACKBONES
from primer.models.self_supervised.rotation import Rotation, rotate
from primer.models.self_supervised.simclr import SimCLR, nt_xent
from primer.spec import Classes, Image, NoTarget, Spec

DIGITS = Spec(Image(1, 8, 8, (0.3,), (0.4,)), Classes(tuple("0123456789")))
QUICK = ("~callbacks.report", "~callbacks.pictures", "accelerator=cpu")


def test_nt_xent_by_hand() -> None:
    torch.manual_seed(0)
    codes, temperature = torch.randn(6, 4), 0.5
    total = 0.0
    for i in range(6):
        partner = (i + 3) % 6
        similarity = [F.cosine_similarity(codes[i], codes[k], dim=0).item() / temperature for k in range(6)]
        others = sum(math.exp(similarity[k]) for k in range(6) if k != i)
        total -= math.log(math.exp(similarity[partner]) / others)
    assert nt_xent(codes, temperature).item() == pytest.approx(total / 6, rel=1e-5)


def test_nt_xent_is_lowest_if_views_agree_and_images_differ() -> None:
    same = torch.eye(4).repeat(2, 1)
    assert nt_xent(same, 0.1) < nt_xent(torch.eye(8), 0.1)
    assert nt_xent(torch.ones(8, 4), 0.1).item() == pytest.approx(math.log(7), rel=1e-5)


def test_rotations() -> None:
    images = torch.arange(8.0).view(2, 1, 2, 2)
    rotated, turns = rotate(images)
    assert turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(rotated[:2], images)
    assert rotated[2, 0].tolist() == [[1, 3], [0, 2]]
    assert rotated[4, 0].tolist() == [[3, 2], [1, 0]]


@pytest.mark.parametrize("kind", [SimCLR, Rotation])
def test_the_probe_does_not_change_the_features(kind: type[Model]) -> None:
    torch.manual_seed(0)
    model: Model = kind(DIGITS, backbone="mlp")
    images, targets = torch.randn(8, 1, 8, 8), torch.arange(8)
    with_labels, without = model.step(Batch(images, targets)), model.step(Batch(images))
    assert with_labels.loss.item() == pytest.approx(without.loss.item(), rel=1e-5)
    backbone = list(model.backbone.parameters())  # type: ignore[union-attr]
    probe = list(model.probe.parameters())  # type: ignore[union-attr]
    gradients = torch.autograd.grad(with_labels.loss, backbone + probe)
    expected = torch.autograd.grad(without.loss, backbone)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(gradients, expected, strict=False))
    assert all(gradient.abs().sum() > 0 for gradient in gradients[len(backbone) :])


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name not in ("alexnet", "vgg", "mobilenet_v2")])
def test_backbones_are_pretrained(backbone: str) -> None:
    settings = {"resnet": {"layers": [1], "width": 8}}.get(backbone, {})
    model = SimCLR(Spec(Image(1, 16, 16), NoTarget()), backbone, settings)
    features = model.encode(torch.randn(4, 1, 16, 16))
    assert features.shape == (4, model.features)
    assert model.probe is None
    model.step(Batch(torch.randn(4, 1, 16, 16))).loss.backward()
    assert any(parameter.grad is not None for parameter in model.backbone.parameters())


@pytest.mark.parametrize("backbone", ["alexnet", "vgg", "mobilenet_v2"])
def test_large_backbones_lose_their_last_layer(backbone: str) -> None:
    with torch.device("meta"):
        model = SimCLR(Spec(Image(3, 32, 32), NoTarget()), backbone)
        assert model.encode(torch.empty(2, 3, 32, 32)).shape == (2, model.features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "lennet"}, "did you mean lenet"),
        ({"backbone_settings": {"widht": 3}}, "backbone_settings: .*widht"),
        ({"temperature": 0.0}, "temperature must be more than 0"),
        ({"projection_size": 0}, "projection_size must be at least 1"),
    ],
)
def test_settings_out_of_range_are_rejected(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimCLR(DIGITS, **settings)


def test_rotation_requires_square_images() -> None:
    with pytest.raises(InputError, match="must be square"):
        Rotation(Spec(Image(1, 16, 20), NoTarget()))


@pytest.mark.parametrize("model", ["simclr", "rotation"])
def test_a_classifier_starts_from_pretrained_features(model: str, run_in_process) -> None:
    run = run_in_process("train.py", f"model={model}", "trainer.max_epochs=4", *QUICK)
    assert run.status == 0, run.err
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert 0.15 < metrics["test/probe_accuracy"] <= 1
    start = ("model=lenet", f"weights={run.folder}")
    frozen = run_in_process("train.py", *start, "transfer=frozen", "trainer.max_epochs=2", *QUICK)
    assert frozen.status == 0, frozen.err
    assert "with a new last layer" in frozen.out
    pretrained, classifier = primer.load(run.folder), primer.load(frozen.folder)
    learned = dict(classifier.named_parameters())
    for name, value in pretrained.backbone.named_parameters():  # type: ignore[union-attr]
        assert torch.equal(value, learned[name]), name
    finetuned = run_in_process("train.py", *start, "trainer.max_epochs=1", *QUICK)
    assert finetuned.status == 0, finetuned.err
    other = run_in_process("train.py", "model=mlp", f"weights={run.folder}", *QUICK)
    assert other.status == 2
    assert "not for MLP" in other.err
