"""Decodes image files to bytes of a given shape."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from primer.errors import InputError

Image.preinit()  # At import rather than concurrently in several threads.
for plugin in ("WebP", "Tiff", "Jpeg2K", "Mpo", "Avif"):
    with suppress(ImportError):  # Versions of Pillow before 11.3 do not have Avif.
        import_module(f"PIL.{plugin}ImagePlugin")

FORMATS = [name for name in ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF")
           if name in Image.OPEN]  # fmt: skip
"""The formats that are read: those of ``SUFFIXES`` in ``folders``."""


def decode(path: str | Path, channels: int, height: int, width: int) -> np.ndarray:
    """Decodes an image file, whatever its suffix, to bytes of shape ``(channels, height, width)``.

    The image is rotated upright according to its EXIF data. Transparent pixels (alpha channel or palette) are
    composited onto white. 16-bit grayscale is reduced to 8 bits. With one channel, colors are converted to their luma
    (ITU-R BT.601). The image is then resized, keeping its aspect ratio, so that it just covers the shape, with an
    antialiased bilinear filter, and center-cropped. A JPEG much larger than the shape is decoded at a half, a quarter
    or an eighth of its size, but at least at twice the size of the shape.

    Args:
        path: the file.
        channels: 1 or 3.
        height, width: size of the result.

    Raises:
        InputError: if the file is not a complete image, with its name and the reason.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode == "F":
                raise ValueError("its pixels are floating-point numbers")
            image.draft(None, (2 * max(height, width), 2 * max(height, width)))
            image.load()
            return to_pixels(image, channels, height, width)
    except Exception as error:  # Pillow raises a different type for each kind of damage.
        raise InputError(f"{path}: {describe_error(Path(path), error)}") from error


def to_pixels(image: Image.Image, channels: int, height: int, width: int) -> np.ndarray:
    """Converts an image to bytes of shape ``(channels, height, width)``, as ``decode`` does."""
    with suppress(Exception):  # Ignore damaged EXIF data; the pixels are intact.
        image = ImageOps.exif_transpose(image)
    image = resize_and_crop(flatten_alpha(image).convert("L" if channels == 1 else "RGB"), height, width)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def flatten_alpha(image: Image.Image) -> Image.Image:
    """Composites the image onto white, and reduces 16-bit grayscale to 8 bits."""
    if image.mode.startswith("I"):
        gray = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def resize_and_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resizes the largest centered crop with the aspect ratio of ``height`` and ``width`` to that size."""
    scale = max(height / image.height, width / image.width)
    crop_height, crop_width = min(image.height, height / scale), min(image.width, width / scale)
    left, top = (image.width - crop_width) / 2, (image.height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def describe_error(path: Path, error: Exception) -> str:
    """Returns a short description of what is wrong with a file."""
    if isinstance(error, UnidentifiedImageError):
        return "the content is not an image of a known format" if path.stat().st_size else "the file is empty"
    message = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"the image cannot be decoded ({message or type(error).__name__})"
