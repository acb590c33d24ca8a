"""Pictures of every kind become bytes of one shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.image_folders import draw
from PIL import Image as Pictures

from primer.data.readers.decoding import decode


def saved(folder: Path, image: Pictures.Image, name: str = "some.png", **settings: Any) -> Path:
    image.save(folder / name, **settings)
    return folder / name


def row(*pixels: Any) -> np.ndarray:
    """Pixels side by side, as ``(channels, 1, width)``."""
    return np.array(pixels, dtype=np.uint8).T.reshape(-1, 1, len(pixels))


def image_of(mode: str, *pixels: Any) -> Pictures.Image:
    made = Pictures.new(mode, (len(pixels), 1))
    made.putdata(pixels)
    return made


def luma(red: int, green: int, blue: int) -> int:
    return round(0.299 * red + 0.587 * green + 0.114 * blue)


def test_colour_and_grey(tmp_path: Path) -> None:
    file = saved(tmp_path, image_of("RGB", (255, 0, 0), (10, 200, 30)))
    assert np.array_equal(decode(file, 3, 1, 2), row((255, 0, 0), (10, 200, 30)))
    assert np.array_equal(decode(file, 1, 1, 2), row(luma(255, 0, 0), luma(10, 200, 30)))
    file = saved(tmp_path, image_of("L", 7, 99))
    assert np.array_equal(decode(file, 1, 1, 2), row(7, 99))
    assert np.array_equal(decode(file, 3, 1, 2), row((7, 7, 7), (99, 99, 99)))
    file = saved(tmp_path, image_of("1", 0, 255))
    assert np.array_equal(decode(file, 1, 1, 2), row(0, 255))


def test_what_is_transparent_lies_on_white(tmp_path: Path) -> None:
    half = round(200 * 51 / 255 + 255 * 204 / 255)  # A fifth of 200, four fifths of white.
    file = saved(tmp_path, image_of("RGBA", (200, 0, 100, 255), (200, 0, 100, 0), (200, 200, 200, 51)))
    assert np.array_equal(decode(file, 3, 1, 3), row((200, 0, 100), (255, 255, 255), (half, half, half)))
    file = saved(tmp_path, image_of("LA", (200, 255), (200, 0), (200, 51)))
    assert np.array_equal(decode(file, 1, 1, 3), row(200, 255, half))
    file = saved(tmp_path, image_of("RGB", (1, 2, 3), (4, 5, 6)), transparency=(4, 5, 6))
    assert np.array_equal(decode(file, 3, 1, 2), row((1, 2, 3), (255, 255, 255)))
    file = saved(tmp_path, image_of("L", 9, 8), transparency=8)
    assert np.array_equal(decode(file, 1, 1, 2), row(9, 255))


def test_a_palette_with_and_without_alpha(tmp_path: Path) -> None:
    image = image_of("P", 0, 1, 2)
    image.putpalette([10, 20, 30, 200, 0, 0, 200, 200, 200])
    assert np.array_equal(decode(saved(tmp_path, image), 3, 1, 3), row((10, 20, 30), (200, 0, 0), (200, 200, 200)))
    file = saved(tmp_path, image, transparency=bytes([255, 0, 51]))
    with Pictures.open(file) as opened:
        assert opened.mode == "P"
    half = round(200 * 51 / 255 + 255 * 204 / 255)
    assert np.array_equal(decode(file, 3, 1, 3), row((10, 20, 30), (255, 255, 255), (half, half, half)))
    assert np.array_equal(decode(file, 1, 1, 3), row(luma(10, 20, 30), 255, half))


def test_sixteen_bits_of_grey(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535, 128, 129]], dtype=np.uint16)
    file = saved(tmp_path, Pictures.fromarray(values))
    with Pictures.open(file) as opened:
        assert opened.mode.startswith("I")
    assert np.array_equal(decode(file, 1, 1, 6), row(0, 1, 128, 255, 0, 1))
    assert np.array_equal(decode(file, 3, 1, 6)[2], row(0, 1, 128, 255, 0, 1)[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_cmyk(tmp_path: Path, channels: int) -> None:
    file = saved(tmp_path, Pictures.new("CMYK", (16, 16), (0, 255, 255, 0)), "some.jpg", quality=100)
    wanted = np.array([254, 0, 0] if channels == 3 else [76]).reshape(-1, 1, 1)
    assert np.abs(decode(file, channels, 4, 4).astype(int) - wanted).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((64, 96), dtype=np.uint8)
    upright[:32, :48] = 250  # The upper left is white.
    upright[32:, :48] = 120
    # What the camera wrote: the inverse of each turn or reflection that the standard (Exif 2.3, tag 274) asks for.
    written = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Pictures.Exif()
    exif[0x0112] = orientation
    file = saved(tmp_path, Pictures.fromarray(np.ascontiguousarray(written)), "some.jpg", exif=exif, quality=100)
    assert np.abs(decode(file, 1, 64, 96)[0].astype(int) - upright).max() <= 3


def test_an_exif_block_that_is_damaged_does_no_harm(tmp_path: Path) -> None:
    file = saved(tmp_path, draw(1, 16, 16), "some.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff broken")
    assert decode(file, 3, 8, 8).shape == (3, 8, 8)


def test_a_picture_of_the_right_size_is_left_as_it_is(tmp_path: Path) -> None:
    image = draw(3, 9, 13)
    assert np.array_equal(decode(saved(tmp_path, image), 3, 9, 13), np.asarray(image).transpose(2, 0, 1))


def test_the_shorter_side_covers_and_the_longer_one_is_cut_about_its_middle(tmp_path: Path) -> None:
    columns = np.repeat(np.arange(12, dtype=np.uint8), 2) * 20  # 24 wide, 8 high, in pairs.
    wide = Pictures.fromarray(np.tile(columns, (8, 1)))
    shrunk = decode(saved(tmp_path, wide), 1, 4, 4)[0]
    # At 12 by 4, the columns 4 to 7 are about the middle; the filter reaches one of each side beyond.
    assert np.abs(shrunk - np.array([80, 100, 120, 140])).max() <= 1
    tall = Pictures.fromarray(np.tile(columns, (8, 1)).T)
    assert np.array_equal(decode(saved(tmp_path, tall), 1, 4, 4)[0], shrunk.T)


def test_shrinking_takes_in_all_pixels(tmp_path: Path) -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    shrunk = decode(saved(tmp_path, Pictures.fromarray(board.astype(np.uint8))), 1, 8, 8)
    assert np.abs(shrunk.astype(int) - 127.5).max() <= 2  # Without antialiasing: 0 or 255.


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path: Path) -> None:
    image = draw(5, 8, 8).resize((800, 600), Pictures.Resampling.BICUBIC)
    jpeg, png = saved(tmp_path, image, "some.jpg", quality=95), saved(tmp_path, image)
    difference = decode(jpeg, 3, 32, 32).astype(int) - decode(png, 3, 32, 32)
    assert np.abs(difference).mean() < 1
    assert np.abs(difference).max() < 12
