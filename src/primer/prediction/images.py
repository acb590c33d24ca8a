"""Encodes images: arrays, tensors, PIL images and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image as PILImage
from torch import Tensor

from primer.batch import Batch
from primer.data.readers.decoding import decode, to_pixels
from primer.data.readers.folders import list_files
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.spec import Image


def encode_images(kind: Image, inputs: Any) -> Encoded:
    """Encodes images as bytes, or as floats in [0, 1].

    Args:
        kind: the images that the model expects.
        inputs: a file or a folder of images, a PIL image, or a list of files or PIL images, which are resized and
            cropped to the shape of the data set; or an array or a tensor of that shape, see ``convert_array``.
    """
    items = as_pictures(inputs)
    if items is None:
        batch = Batch(convert_array(kind, inputs))
        return Encoded(batch, batch.size)
    shape = native_shape(kind)
    pixels, errors = [], {}
    for k, item in enumerate(items):
        try:
            pixels.append(to_pixels(item, *shape) if isinstance(item, PILImage) else decode(item, *shape))
        except InputError as error:
            errors[k] = str(error)
    stacked = np.stack(pixels) if pixels else np.empty((0, *shape), np.uint8)
    return Encoded(Batch(torch.from_numpy(stacked)), len(items), errors)


def as_pictures(inputs: Any) -> list[Any] | None:
    """Returns a list of files and PIL images; None if the inputs are numbers."""
    if isinstance(inputs, str | Path):
        path = Path(inputs)
        return [path / name for name in list_files(path, path)[0]] if path.is_dir() else [path]
    if isinstance(inputs, PILImage):
        return [inputs]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(one, str | Path | PILImage) for one in inputs):
        return list(inputs)
    return None


def native_shape(kind: Image) -> tuple[int, int, int]:
    """Returns the channels, height and width of the images of the data set."""
    channels, height, width = kind.native or (kind.channels, kind.height, kind.width)
    return channels, height, width


def convert_array(kind: Image, values: Any) -> Tensor:
    """Converts an array to images of shape ``(images, channels, height, width)``.

    Channels may also come last, or be left out if there is only one; each image may be flattened; and a single image
    is a batch of one. Integers are in the unit of the user's files, from 0 to ``kind.maximum``; floats are in [0, 1],
    or in that unit if any is greater than 1.

    Raises:
        InputError: if the array has another shape, or values out of range.
    """
    try:
        images = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise InputError("images must be an array, a tensor, PIL images or file names") from None
    channels, height, width = native_shape(kind)
    shape = tuple(images.shape)
    if shape in ((channels, height, width), (height, width, channels)) or (channels == 1 and shape == (height, width)):
        images = images.unsqueeze(0)
        shape = tuple(images.shape)
    if shape[1:] == (height, width, channels) and shape[1:] != (channels, height, width):
        images = images.permute(0, 3, 1, 2)
    elif shape[1:] == (channels * height * width,) or (channels == 1 and shape[1:] == (height, width)):
        images = images.reshape(-1, channels, height, width)
    elif shape[1:] != (channels, height, width):
        raise InputError(
            f"images have the shape {shape}, but this model expects (images, {channels}, {height}, {width}), or "
            "channels last; PIL images and files may have any size"
        )
    return scale_pixels(images.contiguous(), kind.maximum)


def scale_pixels(images: Tensor, maximum: float) -> Tensor:
    """Converts pixels to floats in [0, 1]; bytes from 0 to 255 are kept."""
    if images.dtype == torch.bool or not images.numel():
        return images.float()
    if images.is_complex() or (images.is_floating_point() and not images.isfinite().all()):
        raise InputError("the images have pixels that are not finite numbers")
    lowest, highest = images.min().item(), images.max().item()
    if lowest < 0 or highest > maximum:
        raise InputError(
            f"pixels must be from 0 to {maximum:g}, or floats from 0 to 1, but they are from {lowest:g} to {highest:g}"
        )
    if images.is_floating_point() and highest <= 1:
        return images.float()
    if maximum == 255 and (not images.is_floating_point() or bool((images == images.round()).all())):
        return images.to(torch.uint8)
    return images.float() / maximum
