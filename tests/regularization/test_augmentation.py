"""Augmentation: each image has parameters of its own, and evaluation has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from primer.batch import Batch
from primer.data.digits import Digits
from primer.errors import InputError
from primer.regularization import Augmentation, CropFlip, Flip, NoAugmentation
from primer.regularization.augmentation import shift

SIZE = 600


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = SIZE, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same image again and again, with no two pixels and no two channels alike; none is black."""
    one = torch.arange(1, 3 * 5 * 6 + 1).view(3, 5, 6)
    return (one.to(dtype) if dtype == torch.uint8 else one.to(dtype) / 100).expand(size, 3, 5, 6).clone()


def augment(augmentation: Augmentation, inputs: Tensor, seed: int = 0) -> Tensor:
    targets = torch.arange(len(inputs))
    batch = augmentation(Batch(inputs, targets), seeded(seed))
    assert batch.targets is not None
    assert torch.equal(batch.targets, targets)
    assert batch.lengths is None
    return batch.inputs


def displacement(image: Tensor, original: Tensor, most: int) -> tuple[bool, int, int]:
    """Whether an image is mirrored, and by how many rows and columns it was moved. Fails where it is neither."""
    height, width = original.shape[1:]
    for mirrored in (False, True):
        source = original.flip(-1) if mirrored else original
        padded = torch.nn.functional.pad(source, (most,) * 4)
        for row in range(2 * most + 1):
            for column in range(2 * most + 1):
                if torch.equal(padded[:, row : row + height, column : column + width], image):
                    return mirrored, row - most, column - most
    raise AssertionError("the image was not merely mirrored and moved")


@pytest.mark.parametrize("augmentation", [Flip(), CropFlip(padding=2)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_shape_and_type_stay_and_the_stored_images_too(augmentation: Augmentation, dtype: torch.dtype) -> None:
    inputs = images(20, dtype)
    made = augment(augmentation, inputs)
    assert made.shape == inputs.shape
    assert made.dtype == dtype
    assert torch.equal(inputs, images(20, dtype))
    assert not torch.equal(made, inputs)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_mirrored_images(probability: float) -> None:
    inputs = images()
    made = augment(Flip(probability), inputs)
    mirrored = (made == inputs.flip(-1)).flatten(1).all(1)
    plain = (made == inputs).flatten(1).all(1)
    assert (mirrored ^ plain).all()
    assert mirrored.float().mean().item() == pytest.approx(probability, abs=0.06)


def test_each_image_is_moved_on_its_own_and_evenly() -> None:
    inputs = images()
    moves = [displacement(image, inputs[0], 1) for image in augment(CropFlip(padding=1), inputs)]
    counts = {move: moves.count(move) for move in set(moves)}
    assert len(counts) == 2 * 3 * 3
    expected = SIZE / len(counts)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 40.8  # 17 degrees of freedom: more has a chance of one in a thousand.


def test_what_is_moved_out_is_lost_and_what_comes_in_is_black() -> None:
    inputs = images(50, torch.uint8)
    moved = shift(inputs, 3, seeded())
    for image in moved:
        _, row, column = displacement(image, inputs[0], 3)
        seen = (5 - abs(row)) * (6 - abs(column))
        assert int((image[0] > 0).sum()) == seen


def test_channels_move_together() -> None:
    inputs = torch.rand(30, 1, 6, 6).expand(30, 3, 6, 6)
    moved = shift(inputs, 2, seeded())
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0], moved[:, 2])


@pytest.mark.parametrize("augmentation", [Flip(), CropFlip(padding=2)])
def test_all_chance_comes_from_the_generator(augmentation: Augmentation) -> None:
    inputs = images(40)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = augment(augmentation, inputs, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, augment(augmentation, inputs, seed=7))
    assert not torch.equal(first, augment(augmentation, inputs, seed=8))


def test_no_padding_and_no_chance_is_no_change() -> None:
    inputs = images(10)
    assert torch.equal(augment(CropFlip(padding=0, probability=0.0), inputs), inputs)
    assert augment(NoAugmentation(), inputs) is inputs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flip(1.1), "probability of a flip must be from 0 to 1, not 1.1"),
        (lambda: CropFlip(probability=-0.1), "probability of a flip must be from 0 to 1, not -0.1"),
        (lambda: CropFlip(padding=-1), "padding of a crop must be at least 0, not -1"),
    ],
)
def test_what_makes_no_augmentation_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_it_is_on_in_training_and_off_in_evaluation() -> None:
    plain = Digits(batch_size=200).prepare()
    data = Digits(batch_size=200, augmentation=CropFlip(padding=2)).prepare()

    def first(some: Digits, train: bool, epoch: int = 0) -> Tensor:
        loader = some.loader("train", train=train)
        loader.set_epoch(epoch)
        return next(iter(loader)).inputs

    torch.manual_seed(0)
    assert torch.equal(first(plain, train=False), first(data, train=False))
    for mine, theirs in zip(data.val_dataloader(), plain.val_dataloader(), strict=True):
        assert torch.equal(mine.inputs, theirs.inputs)
    for mine, theirs in zip(data.test_dataloader(), plain.test_dataloader(), strict=True):
        assert torch.equal(mine.inputs, theirs.inputs)
    assert not torch.equal(first(plain, train=True), first(data, train=True))
    assert torch.equal(first(data, train=True), first(data, train=True))  # The same seed and epoch.
    assert not torch.equal(first(data, train=True), first(data, train=True, epoch=1))


def test_black_is_black_before_the_images_are_standardised() -> None:
    data = Digits(batch_size=200, augmentation=CropFlip(padding=8, probability=0.0)).prepare()
    mean, std = data.spec.input.mean[0], data.spec.input.std[0]  # type: ignore[union-attr]
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.min().item() == pytest.approx(-mean / std, rel=1e-5)
