"""Decoding of images with different modes, sizes and orientations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.image_folders import draw

from primer.data.readers.decoding import decode


def save(folder: Path, image: PIL.Image.Image, name: str = "some.png", **settings: Any) -> Path:
    image.save(folder / name, **settings)
    return folder / name


def row(*pixels: Any) -> np.ndarray:
    """Returns pixels side by side, as ``(channels, 1, width)``."""
    return np.array(pixels, dtype=np.uint8).T.reshape(-1, 1, len(pixels))


def image_of(mode: str, *pixels: Any) -> PIL.Image.Image:
    image = PIL.Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


def luma(red: int, green: int, blue: int) -> int:
    return round(0.299 * red + 0.587 * green + 0.114 * blue)


def test_color_and_grayscale(tmp_path: Path) -> None:
    file = save(tmp_path, image_of("RGB", (255, 0, 0), (10, 200, 30)))
    assert np.array_equal(decode(file, 3, 1, 2), row((255, 0, 0), (10, 200, 30)))
    assert np.array_equal(decode(file, 1, 1, 2), row(luma(255, 0, 0), luma(10, 200, 30)))
    file = save(tmp_path, image_of("L", 7, 99))
    assert np.array_equal(decode(file, 1, 1, 2), row(7, 99))
    assert np.array_equal(decode(file, 3, 1, 2), row((7, 7, 7), (99, 99, 99)))
    file = save(tmp_path, image_of("1", 0, 255))
    assert np.array_equal(decode(file, 1, 1, 2), row(0, 255))


def test_transparent_images_are_composited_onto_white(tmp_path: Path) -> None:
    half = round(200 * 51 / 255 + 255 * 204 / 255)  # 20% of 200 and 80% of white.
    file = save(tmp_path, image_of("RGBA", (200, 0, 100, 255), (200, 0, 100, 0), (200, 200, 200, 51)))
    assert np.array_equal(decode(file, 3, 1, 3), row((200, 0, 100), (255, 255, 255), (half, half, half)))
    file = save(tmp_path, image_of("LA", (200, 255), (200, 0), (200, 51)))
    assert np.array_equal(decode(file, 1, 1, 3), row(200, 255, half))
    file = save(tmp_path, image_of("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6))
    assert np.array_equal(decode(file, 3, 1, 2), row((1, 2, 3), (255, 255, 255)))
    file = save(tmp_path, image_of("L", 9, 8), transparency=8)
    assert np.array_equal(decode(file, 1, 1, 2), row(9, 255))


def test_palettes_with_and_without_alpha(tmp_path: Path) -> None:
    image = image_of("P", 0, 1, 2)
    image.putpalette([10, 20, 30, 200, 0, 0, 200, 200, 200])
    assert np.array_equal(decode(save(tmp_path, image), 3, 1, 3), row((10, 20, 30), (200, 0, 0), (200, 200, 200)))
    file = save(tmp_path, image, transparency=bytes([255, 0, 51]))
    with PIL.Image.open(file) as opened:
        assert opened.mode == "P"
    half = round(200 * 51 / 255 + 255 * 204 / 255)
    assert np.array_equal(decode(file, 3, 1, 3), row((10, 20, 30), (255, 255, 255), (half, half, half)))
    assert np.array_equal(decode(file, 1, 1, 3), row(luma(10, 20, 30), 255, half))


def test_sixteen_bit_grayscale(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535, 128, 129]], dtype=np.uint16)
    file = save(tmp_path, PIL.Image.fromarray(values))
    with PIL.Image.open(file) as opened:
        assert opened.mode.startswith("I")
    assert np.array_equal(decode(file, 1, 1, 6), row(0, 1, 128, 255, 0, 1))
    assert np.array_equal(decode(file, 3, 1, 6)[2], row(0, 1, 128, 255, 0, 1)[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_cmyk(tmp_path: Path, channels: int) -> None:
    file = save(tmp_path, PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "some.jpg", quality=100)
    expected = np.array([254, 0, 0] if channels == 3 else [76]).reshape(-1, 1, 1)
    assert np.abs(decode(file, channels, 4, 4).astype(int) - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((64, 96), dtype=np.uint8)
    upright[:32, :48] = 250  # The upper left is white.
    upright[32:, :48] = 120
    # The stored pixels: the inverse of each transform that the standard (Exif 2.3, tag 274) specifies.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path, PIL.Image.fromarray(np.ascontiguousarray(stored)), "some.jpg", exif=exif, quality=100)
    assert np.abs(decode(file, 1, 64, 96)[0].astype(int) - upright).max() <= 3


def test_damaged_exif_data_is_ignored(tmp_path: Path) -> None:
    file = save(tmp_path, draw(1, 16, 16), "some.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff broken")
    assert decode(file, 3, 8, 8).shape == (3, 8, 8)


def test_an_image_of_the_requested_size_is_not_resized(tmp_path: Path) -> None:
    image = draw(3, 9, 13)
    assert np.array_equal(decode(save(tmp_path, image), 3, 9, 13), np.asarray(image).transpose(2, 0, 1))


def test_images_are_resized_to_cover_and_center_cropped(tmp_path: Path) -> None:
    columns = np.repeat(np.arange(12, dtype=np.uint8), 2) * 20  # 24 wide, 8 high, in pairs.
    wide = PIL.Image.fromarray(np.tile(columns, (8, 1)))
    shrunk = decode(save(tmp_path, wide), 1, 4, 4)[0]
    # At 12x4 pixels, the center crop is columns 4 to 7; the filter uses one more column on each side.
    assert np.abs(shrunk - np.array([80, 100, 120, 140])).max() <= 1
    tall = PIL.Image.fromarray(np.tile(columns, (8, 1)).T)
    assert np.array_equal(decode(save(tmp_path, tall), 1, 4, 4)[0], shrunk.T)


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    shrunk = decode(save(tmp_path, PIL.Image.fromarray(board.astype(np.uint8))), 1, 8, 8)
    assert np.abs(shrunk.astype(int) - 127.5).max() <= 2  # Without antialiasing: 0 or 255.


def test_reduced_jpeg_decoding_is_close_to_full_decoding(tmp_path: Path) -> None:
    image = draw(5, 8, 8).resize((800, 600), PIL.Image.Resampling.BICUBIC)
    jpeg, png = save(tmp_path, image, "some.jpg", quality=95), save(tmp_path, image)
    difference = decode(jpeg, 3, 32, 32).astype(int) - decode(png, 3, 32, 32)
    assert np.abs(difference).mean() < 1
    assert np.abs(difference).max() < 12
