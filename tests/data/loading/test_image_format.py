"""Conversion of images to another format."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from primer.data.images.digits import Digits
from primer.data.loading.image_format import image_converter
from primer.errors import InputError
from primer.spec import Image


def test_matching_formats_are_not_converted() -> None:
    assert image_converter(Image(3, 32, 32), Image(3, 32, 32, (0.5,) * 3, (0.2,) * 3)) is None


def test_grayscale_is_repeated_over_channels_and_bytes_are_scaled() -> None:
    images = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    convert = image_converter(Image(1, 4, 4), Image(3, 4, 4))
    assert convert is not None
    converted = convert(images)
    assert converted.shape == (2, 3, 4, 4)
    for channel in range(3):
        torch.testing.assert_close(converted[:, channel], images[:, 0] / 255)


def test_color_is_reduced_to_luma() -> None:
    convert = image_converter(Image(3, 1, 1), Image(1, 1, 1))
    assert convert is not None
    colors = torch.eye(3).view(3, 3, 1, 1)
    torch.testing.assert_close(convert(colors).flatten(), torch.tensor([0.299, 0.587, 0.114]))
    torch.testing.assert_close(convert(torch.ones(1, 3, 1, 1)).item(), 1.0)


def test_resizing_keeps_constant_images_constant() -> None:
    convert = image_converter(Image(1, 8, 8), Image(3, 20, 30))
    assert convert is not None
    converted = convert(torch.full((2, 1, 8, 8), 0.25))
    assert converted.shape == (2, 3, 20, 30)
    torch.testing.assert_close(converted, torch.full_like(converted, 0.25))


def test_other_channel_changes_are_rejected() -> None:
    with pytest.raises(InputError, match="images with 4 channels cannot be converted to 3"):
        image_converter(Image(4, 8, 8), Image(3, 8, 8))


def test_data_sets_convert_images_to_the_requested_format() -> None:
    data = Digits().prepare()
    image = Image(3, 16, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    data.set_image_format(Image(1, 24, 24))
    data.set_image_format(image)
    assert data.spec.input == replace(image, maximum=16.0, native=(1, 8, 8))
    (batch,) = data.test_dataloader()
    assert batch.inputs.shape == (data.parts["test"].size, 3, 16, 16)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (image.mean, image.std))
    gray = batch.inputs * std + mean
    torch.testing.assert_close(gray[:, 0], gray[:, 2])
    original = data.parts["test"].inputs
    expected = torch.nn.functional.interpolate(original, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(gray[:, :1], expected)
    batch = next(iter(data.train_dataloader()))
    assert batch.inputs.shape[1:] == (3, 16, 16)
