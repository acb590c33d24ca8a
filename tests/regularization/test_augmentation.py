"""Common properties of augmentations: independent parameters for each image, in training only."""

from __future__ import annotations

import runpy
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.augmentation import augment, images, seeded, spec_of
from omegaconf import OmegaConf
from torch import Tensor

from primer.batch import Batch
from primer.cli.checks import check_command
from primer.cli.composition import compose_checked
from primer.config.instantiate import instantiate
from primer.config.paths import ROOT
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.feedforward.mlp import MLP
from primer.regularization import Augmentation, ColorJitter, Cutmix, Cutout, Flip, Mixup, Regularization, Rotate, Shift
from primer.regularization.augmentation.base import as_floats
from primer.run.building import build_data
from primer.spec import Image

SINGLE = [Flip(), Shift(2), Rotate(), ColorJitter(), Cutout(1.0)]
MIXING = [Mixup(1.0), Cutmix(1.0, probability=1.0)]
EXACT = (Flip, Shift, Cutout, Cutmix)
IDLE = [
    Flip(0), Shift(0), Rotate(0, (1, 1)), ColorJitter(0, 0, 0, 0), Cutout(0),
    Mixup(probability=0), Cutmix(probability=0),
]  # fmt: skip


def name_of(step: Augmentation) -> str:
    return type(step).__name__


def distinct_images(size: int, dtype: torch.dtype, channels: int) -> Tensor:
    inputs = torch.randint(0, 256, (size, channels, 7, 6), dtype=torch.uint8, generator=seeded())
    return inputs if dtype == torch.uint8 else inputs.to(dtype) / 255


@pytest.mark.parametrize("step", [*SINGLE, *MIXING], ids=name_of)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [1, 20])
def test_shapes_are_kept_and_stored_images_are_not_modified(
    step: Augmentation, dtype: torch.dtype, channels: int, size: int
) -> None:
    inputs = distinct_images(size, dtype, channels)
    before = inputs.clone()
    augmented = step(Batch(inputs, torch.arange(size)), seeded(), spec_of(inputs)).inputs
    assert augmented.shape == inputs.shape
    assert augmented.dtype == (dtype if isinstance(step, EXACT) or dtype != torch.uint8 else torch.float32)
    assert torch.equal(inputs, before)
    assert as_floats(augmented).min() >= 0
    assert as_floats(augmented).max() <= 1 + 1e-6
    assert size == 1 or not torch.equal(as_floats(augmented), as_floats(inputs))


@pytest.mark.parametrize("step", [*SINGLE, *MIXING], ids=name_of)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_floats_are_augmented_alike(step: Augmentation, channels: int) -> None:
    inputs = distinct_images(20, torch.uint8, channels)
    spec = spec_of(inputs, mean=(0.3, 0.5, 0.7)[:channels])
    from_bytes, from_floats = (
        step(Batch(images, torch.arange(20)), seeded(), spec).inputs for images in (inputs, as_floats(inputs))
    )
    assert torch.allclose(as_floats(from_bytes), from_floats, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("step", SINGLE, ids=name_of)
def test_images_are_augmented_independently(step: Augmentation) -> None:
    augmented = augment(step, images(100))
    assert len(augmented.flatten(1).unique(dim=0)) >= {"Flip": 2, "Shift": 20}.get(name_of(step), 60)


@pytest.mark.parametrize("step", [*SINGLE, *MIXING], ids=name_of)
def test_all_randomness_comes_from_the_generator(step: Augmentation) -> None:
    batch = Batch(distinct_images(40, torch.float32, 3), torch.arange(40))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (step(batch, seeded(seed), spec_of(batch.inputs)) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    for tensor, same_seed, other_seed in zip(first[:2], again[:2], other[:2], strict=True):
        assert tensor is not None
        assert torch.equal(tensor, same_seed)  # type: ignore[arg-type]
        assert other_seed is batch.targets or not torch.equal(tensor, other_seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", IDLE, ids=name_of)
@pytest.mark.parametrize("channels", [1, 3])
def test_zero_strength_does_not_change_images(step: Augmentation, channels: int) -> None:
    inputs = distinct_images(10, torch.float32, channels)
    augmented = step(Batch(inputs, torch.arange(10)), seeded(), spec_of(inputs))
    assert torch.allclose(augmented.inputs, inputs, atol=1e-6)
    assert augmented.targets is not None
    assert torch.equal(augmented.targets, torch.eye(10) if augmented.targets.ndim == 2 else torch.arange(10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flip(1.1), "Flip: probability must be from 0 to 1, not 1.1"),
        (lambda: Shift(-1), "Shift: padding must be at least 0, not -1"),
        (lambda: Rotate(-1), "Rotate: degrees must be from 0 to 180, not -1"),
        (lambda: Rotate(scale=(0, 1)), r"Rotate: scale must be two ascending numbers, above 0, not \[0, 1\]"),
        (lambda: Rotate(scale=(1.1, 0.9)), "Rotate: scale must be two ascending numbers"),
        (lambda: ColorJitter(brightness=1.5), "ColorJitter: brightness must be from 0 to 1, not 1.5"),
        (lambda: ColorJitter(hue=0.6), "ColorJitter: hue must be from 0 to 0.5, not 0.6"),
        (lambda: Cutout(2), "Cutout: probability must be from 0 to 1, not 2"),
        (lambda: Cutout(area=(0.1, 1.5)), r"Cutout: area must be .* above 0 and at most 1, not \[0.1, 1.5\]"),
        (lambda: Cutout(aspect=(2, 1)), "Cutout: aspect must be two ascending numbers, above 0"),
        (lambda: Mixup(0), "Mixup: alpha must be greater than 0, not 0"),
        (lambda: Mixup(probability=-1), "Mixup: probability must be from 0 to 1, not -1"),
        (lambda: Cutmix(-1), "Cutmix: alpha must be greater than 0, not -1"),
    ],
)
def test_invalid_settings_are_rejected(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


# In a data set.


def first_batch(data: Digits, train: bool, epoch: int = 0) -> Batch:
    loader = data.loader("train", train=train)
    loader.set_epoch(epoch)
    return next(iter(loader))


@pytest.mark.parametrize("steps", [Shift(2), [Shift(2), Mixup()]], ids=["single", "list"])
def test_augmentation_is_applied_in_training_only(steps: Any) -> None:
    plain = Digits(batch_size=200).prepare()
    data = Digits(batch_size=200, augmentation=steps).prepare()
    torch.manual_seed(0)
    for part in ("train", "val", "test"):
        loaders = data.loader(part, train=False), plain.loader(part, train=False)
        for batch, plain_batch in zip(*loaders, strict=True):
            assert torch.equal(batch.inputs, plain_batch.inputs)
            assert torch.equal(batch.targets, plain_batch.targets)  # type: ignore[arg-type]
    assert not torch.equal(first_batch(plain, train=True).inputs, first_batch(data, train=True).inputs)


def test_augmentation_depends_on_seed_and_epoch() -> None:
    data = Digits(batch_size=200, augmentation=[Shift(2), Cutmix()]).prepare()
    torch.manual_seed(0)
    batch, again, later = (first_batch(data, train=True, epoch=epoch) for epoch in (0, 0, 1))
    assert torch.equal(batch.inputs, again.inputs)
    assert torch.equal(batch.targets, again.targets)  # type: ignore[arg-type]
    assert not torch.equal(batch.inputs, later.inputs)
    torch.manual_seed(1)
    assert not torch.equal(batch.inputs, first_batch(data, train=True).inputs)


def test_augmentations_are_applied_in_order() -> None:
    class Plus(Augmentation):
        def __call__(self, batch: Batch, generator: torch.Generator, spec: Any) -> Batch:
            return batch._replace(inputs=batch.inputs + 1)

    class Twice(Augmentation):
        def __call__(self, batch: Batch, generator: torch.Generator, spec: Any) -> Batch:
            return batch._replace(inputs=batch.inputs * 2)

    def mean(*steps: Augmentation) -> float:
        data = Digits(batch_size="full", augmentation=steps).prepare()
        kind = data.spec.input
        return (next(iter(data.train_dataloader())).inputs.mean() * kind.std[0] + kind.mean[0]).item()  # type: ignore[union-attr]

    plain = mean()
    assert mean(Plus(), Twice()) == pytest.approx((plain + 1) * 2, abs=1e-4)
    assert mean(Twice(), Plus()) == pytest.approx(plain * 2 + 1, abs=1e-4)


def test_black_and_the_mean_refer_to_images_before_standardization() -> None:
    black = Digits(batch_size=200, augmentation=Shift(8)).prepare()
    mean, std = black.spec.input.mean[0], black.spec.input.std[0]  # type: ignore[union-attr]
    assert first_batch(black, train=True).inputs.min().item() == pytest.approx(-mean / std, rel=1e-5)
    gray = Digits(batch_size=200, augmentation=Cutout(1.0, area=(1.0, 1.0))).prepare()
    assert torch.allclose(first_batch(gray, train=True).inputs, torch.zeros(1), atol=1e-6)


def test_images_are_augmented_before_their_format_is_converted() -> None:
    data = Digits(batch_size=200, augmentation=Cutout(1.0, area=(1.0, 1.0))).prepare()
    original_mean = data.spec.input.mean[0]  # type: ignore[union-attr]
    data.set_image_format(Image(3, 16, 16, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)))
    expected = (original_mean - torch.tensor([0.1, 0.2, 0.3])) / 0.5
    augmented = first_batch(data, train=True).inputs
    assert torch.allclose(augmented, expected.view(3, 1, 1).expand(200, 3, 16, 16), atol=1e-5)


def test_a_model_learns_from_mixed_images(quiet_trainer) -> None:
    torch.manual_seed(0)
    data = Digits(augmentation=[Rotate(5), Mixup(), Cutmix()]).prepare()
    model = MLP(data.spec)
    trainer = quiet_trainer(max_epochs=8)
    trainer.fit(model, datamodule=data)
    (metrics,) = trainer.test(model, datamodule=data, verbose=False)
    assert metrics["test/accuracy"] > 0.8


# From the command line.


def selected(*overrides: str) -> list[Augmentation]:
    """Returns the augmentations that a command passes to its data set."""
    check_command("train", list(overrides))
    node = OmegaConf.to_container(compose_checked("train", list(overrides)).regularization, resolve=True)
    regularization = instantiate(node, Regularization)
    return build_data({"data": {"_target_": "primer.data.images.digits.Digits"}}, regularization).augmentation


GROUP = "regularization/augmentation"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], []),
        ([f"{GROUP}=[]"], []),
        ([f"{GROUP}=crop_flip"], ["Flip", "Shift"]),
        ([f"{GROUP}=[flip,cutout]"], ["Flip", "Cutout"]),
        ([f"{GROUP}=[cutout,flip]"], ["Cutout", "Flip"]),
        (["regularization=strong", f"{GROUP}=[light,mixup]"], ["Shift", "Rotate", "Mixup"]),
        ([f"{GROUP}=[mixup,light]", "regularization=light"], ["Mixup", "Shift", "Rotate"]),
        ([f"{GROUP}=strong"], ["Flip", "Shift", "Rotate", "ColorJitter", "Cutout", "Mixup"]),
        (
            [f"{GROUP}=strong", "~regularization.augmentation.flip", "regularization.augmentation.mixup=null"],
            ["Shift", "Rotate", "ColorJitter", "Cutout"],
        ),
        (["experiment=mnist_lenet"], ["Shift"]),
        (["experiment=mnist_lenet", f"{GROUP}=none"], []),
        (["experiment=mnist_mlp", f"{GROUP}=none"], []),
        (["experiment=mnist_mlp", f"{GROUP}=[rotate,shift]"], ["Rotate", "Shift"]),
    ],
)
def test_augmentations_are_selected_individually_or_as_a_list(overrides: list[str], expected: list[str]) -> None:
    assert [name_of(step) for step in selected(*overrides)] == expected


def test_augmentations_are_configured_by_name() -> None:
    (flip, shift) = selected(f"{GROUP}=[flip,shift]", "regularization.augmentation.flip.probability=0.3")
    assert isinstance(flip, Flip)
    assert flip.probability == 0.3
    (shift,) = selected("experiment=mnist_lenet")
    assert isinstance(shift, Shift)
    assert shift.padding == 2
    (shift, rotate) = selected(f"{GROUP}=light", "regularization.augmentation.rotate.degrees=7")
    assert isinstance(rotate, Rotate)
    assert (rotate.degrees, rotate.scale) == (7, (0.95, 1.05))


# Speed.


def test_flip_and_crop_are_three_times_as_fast_as_torchvision_per_sample(
    record_figure: Callable[[str], None],
) -> None:
    times = runpy.run_path(str(ROOT / "benchmarks" / "augmentation.py"))["measure"]("flip and crop")
    ratio = statistics.median(theirs / ours for theirs, ours in zip(times["torchvision"], times["ours"], strict=True))
    record_figure(f"flip and crop of 256x3x32x32 bytes: torchvision takes {ratio:.1f} times as long, sample by sample")
    assert ratio > 3
