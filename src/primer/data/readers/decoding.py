"""PNG and JPEG files as bytes of one shape."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from primer.errors import InputError

FORMATS = ("PNG", "JPEG")

Image.preinit()  # Here and not in the first of several threads.


def decode(path: str | Path, channels: int, height: int, width: int) -> np.ndarray:
    """The picture in a PNG or JPEG file, whatever its suffix, as bytes of shape ``(channels, height, width)``.

    It stands upright, as its EXIF block says. What is transparent, by an alpha channel or a palette, is laid on white.
    16 bits of grey become 8. With one channel, colours become grey by their luma (ITU-R BT.601). The picture is then
    scaled, its aspect kept, until it just covers the shape, with a bilinear filter that takes in all pixels where it
    shrinks (antialiasing), and what stands out on two sides is cut off evenly. A JPEG much larger than the shape is
    decoded at a half, a quarter or an eighth of its size, yet at least twice as large as the shape.

    Args:
        path: of the file.
        channels: 1 or 3.
        height, width: of the result.

    Raises:
        ValueError: with the name of the file and the reason, where it holds no whole picture.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.draft(None, (2 * max(height, width), 2 * max(height, width)))
            image.load()
            with suppress(Exception):  # An EXIF block that is damaged says nothing; the pixels are whole.
                image = ImageOps.exif_transpose(image)
            picture = covering(opaque(image).convert("L" if channels == 1 else "RGB"), height, width)
    except Exception as error:  # Each kind of damage has an error of its own.
        raise InputError(f"{path}: {reason(Path(path), error)}") from error
    pixels = np.asarray(picture)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def opaque(image: Image.Image) -> Image.Image:
    """The picture on white, with 8 bits a channel."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def covering(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest part about the middle that has the aspect of ``height`` and ``width``, at that size."""
    scale = max(height / image.height, width / image.width)
    tall, wide = min(image.height, height / scale), min(image.width, width / scale)
    left, top = (image.width - wide) / 2, (image.height - tall) / 2
    return image.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + tall))


def reason(path: Path, error: Exception) -> str:
    """What is wrong with a file, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "the content is no PNG or JPEG" if path.stat().st_size else "the file is empty"
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"the picture cannot be decoded ({said or type(error).__name__})"
