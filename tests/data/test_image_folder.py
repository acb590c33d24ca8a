"""Folders of pictures: good and bad files, good and bad folders, in memory and from disk."""

from __future__ import annotations

import io
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from sklearn.datasets import load_digits
from torch import Tensor

from primer.batch import Batch
from primer.checks import check_command
from primer.data import image_folder, survey
from primer.data.decoding import decode
from primer.data.image_folder import ImageFolder
from primer.data.scaling import moments
from primer.data.stream import Chunks, Stream, StreamLoader
from primer.errors import InputError
from primer.models.mlp import MLP
from primer.regularization import Flip
from primer.spec import Classes, Image

Make = Callable[..., ImageFolder]


def draw(number: int, height: int = 12, width: int = 10) -> Pictures.Image:
    """Noise, another one for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Pictures.fromarray(pixels)


def fill(folder: Path, count: int, first: int = 0, kind: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        draw(number).save(folder / f"{number:03}.{kind}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 20 and 40 pictures."""
    fill(tmp_path / "set" / "cat", 20)
    fill(tmp_path / "set" / "dog", 40, first=100)
    return tmp_path / "set"


@pytest.fixture
def build(root: Path, tmp_path: Path) -> Make:
    def make(**settings: Any) -> ImageFolder:
        return ImageFolder(**{"path": root, "size": 8, "data_dir": tmp_path / "data", "workers": 0, **settings})

    return make


def inputs(data: ImageFolder, part: Any = "train") -> Tensor:
    """The bytes of a part."""
    return data.parts[part].select(slice(None)).inputs


def targets(data: ImageFolder, part: Any = "train") -> list[int]:
    labels = data.parts[part].select(slice(None)).targets
    assert labels is not None
    return labels.tolist()


def refusal(make: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read.


@pytest.mark.parametrize("cache", [True, False])
def test_one_folder_for_each_class(build: Make, root: Path, cache: bool) -> None:
    data = build(cache=cache).prepare()
    assert isinstance(data.spec.input, Image)
    assert isinstance(data.spec.target, Classes)
    assert (data.spec.input.channels, data.spec.input.height, data.spec.input.width) == (3, 8, 8)
    assert data.spec.target.names == ("cat", "dog")
    assert {part: some.size for part, some in data.parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert all(isinstance(some, Batch if cache else Stream) for some in data.parts.values())
    for part in ("train", "val", "test"):
        assert sum(targets(data, part)) * 3 == 2 * data.parts[part].size  # The same share of each class.
    pixels = {tuple(image.flatten().tolist()): k for part in data.parts for image, k in
              zip(inputs(data, part), targets(data, part), strict=True)}  # fmt: skip
    wanted = {tuple(decode(file, 3, 8, 8).flatten().tolist()): int(file.parent.name == "dog")
              for file in root.rglob("*.png")}  # fmt: skip
    assert pixels == wanted  # Every picture is in one part, and no picture in two.
    mean, std = moments(inputs(data))
    assert data.spec.input.mean == pytest.approx(mean)
    assert data.spec.input.std == pytest.approx(std)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "valid", "Test"), ("train", "validation")])
@pytest.mark.parametrize("cache", [True, False])
def test_a_published_part_stays_that_part(tmp_path: Path, build: Make, names: tuple[str, ...], cache: bool) -> None:
    top = tmp_path / "split"
    for k, name in enumerate(names):
        for j, label in enumerate(("a", "b")):
            fill(top / name / label, 10 - 2 * k, first=100 * k + 20 * j)
    (top / "notes").mkdir()  # What else lies there is no class.
    data = build(path=top, cache=cache).prepare()
    sizes = {part: some.size for part, some in data.parts.items()}
    if "test" in (name.lower() for name in names):
        assert sizes == {"train": 20, "val": 16, "test": 12}
    else:
        assert sizes == {"train": 16, "val": 16, "test": 4}  # A fifth of the 20 is held out.
    held_out = sorted((top / names[1]).rglob("*.png"))
    assert torch.equal(inputs(data, "val"), torch.from_numpy(np.stack([decode(file, 3, 8, 8) for file in held_out])))
    assert targets(data, "val") == [0] * 8 + [1] * 8


def test_nested_hidden_and_other_files(build: Make, root: Path) -> None:
    fill(root / "cat" / "young" / "new", 3, first=500)
    draw(700).save(root / "cat" / "LOUD.PNG")
    draw(701).save(root / "cat" / "b.JpEg", "JPEG")
    fill(root / "cat" / ".thumbnails", 3, first=600)
    fill(root / ".cache" / "deep", 3, first=600)
    draw(800).save(root / "cat" / "._000.png")
    draw(801).save(root / "loose.png")
    for name in ("Thumbs.db", "labels.txt", "a.gif", "png"):
        (root / "cat" / name).write_text("no picture")
    data = build(val_fraction=0.0).prepare()
    assert sum(some.size for some in data.parts.values()) == 65
    assert data.spec.target == Classes(("cat", "dog"))


def test_a_class_may_be_called_train(tmp_path: Path, build: Make) -> None:
    for k, name in enumerate(("bus", "car", "train")):
        fill(tmp_path / "vehicles" / name, 6, first=10 * k)
    assert build(path=tmp_path / "vehicles").prepare().spec.target == Classes(("bus", "car", "train"))
    for k, name in enumerate(("invalid", "valid")):
        fill(tmp_path / "checks" / name, 6, first=10 * k)
    assert build(path=tmp_path / "checks").prepare().spec.target == Classes(("invalid", "valid"))


def test_height_and_width_may_differ(build: Make) -> None:
    data = build(size=[6, 9], channels=1).prepare()
    assert inputs(data).shape == (42, 1, 6, 9)
    assert isinstance(data.spec.input, Image)
    assert (data.spec.input.channels, data.spec.input.height, data.spec.input.width) == (1, 6, 9)
    mean, std = moments(inputs(data))
    assert data.spec.input.mean == pytest.approx(mean)
    assert data.spec.input.std == pytest.approx(std)


# Pixels.


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


# Broken files.


def break_some(root: Path) -> dict[str, str]:
    """A broken file of each kind, and what is to be said of it."""
    whole = io.BytesIO()
    draw(1, 200, 200).save(whole, "JPEG")
    (root / "cat" / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    whole = io.BytesIO()
    draw(1, 200, 200).save(whole, "PNG")
    (root / "cat" / "cut.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (root / "cat" / "text.png").write_text("not a picture")
    (root / "dog" / "empty.jpeg").write_bytes(b"")
    (root / "dog" / "bomb.png").write_bytes(bomb())
    (root / "dog" / "gone.png").symlink_to(root / "nowhere.png")
    return {
        "cat/cut.jpg": "truncated",
        "cat/cut.png": "truncated",
        "cat/text.png": "the content is no PNG or JPEG",
        "dog/empty.jpeg": "the file is empty",
        "dog/bomb.png": "exceeds limit",
        "dog/gone.png": "No such file",
    }


def bomb() -> bytes:
    """A PNG that says it has 900 million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("cache", [True, False])
def test_broken_files_are_named(build: Make, root: Path, cache: bool) -> None:
    kinds = break_some(root)
    message = refusal(build(cache=cache).prepare)
    assert message.startswith("6 of 66 pictures cannot be read: ")
    assert message.endswith("; data.corrupt=skip leaves them out")
    for name, why in kinds.items():
        assert re.search(rf"{re.escape(str(root / name))}: [^,]*{why}", message), message


@pytest.mark.parametrize("name", ["cat/cut.jpg", "cat/text.png", "dog/empty.jpeg"])
def test_one_broken_file_is_named_in_one_line(build: Make, root: Path, name: str) -> None:
    kinds = break_some(root)
    for other in kinds:
        if other != name:
            (root / other).unlink()
    message = refusal(build().prepare)
    assert message.startswith(f"1 of 61 pictures cannot be read: {root / name}: ")
    assert kinds[name] in message


@pytest.mark.parametrize("cache", [True, False])
def test_broken_files_are_left_out_and_named(
    build: Make, root: Path, cache: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = build(cache=cache).prepare()
    kinds = break_some(root)
    data = build(cache=cache, corrupt="skip").prepare()
    said = capsys.readouterr().out.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("left out: 6 of 66 pictures cannot be read: ")
    for name in kinds:
        assert str(root / name) in said[0]
        assert any(str(root / name) in record.message for record in caplog.records)
    for part in ("train", "val", "test"):  # Nothing else has changed.
        assert torch.equal(inputs(data, part), inputs(whole, part))
        assert targets(data, part) == targets(whole, part)
    assert data.spec == whole.spec


def test_many_broken_files_are_counted_and_all_are_in_the_log(
    build: Make, root: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(25):
        (root / "cat" / f"bad{k:02}.png").write_text("bad")
    build(corrupt="skip").prepare()
    said = capsys.readouterr().out
    assert "bad09.png" in said
    assert "bad10.png" not in said
    assert "and 15 more" in said
    assert all(any(f"bad{k:02}.png" in record.message for record in caplog.records) for k in range(25))


@pytest.mark.parametrize("cache", [True, False])
def test_a_class_folder_without_pictures(
    build: Make, root: Path, cache: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "bird").mkdir()
    (root / "fox").mkdir()
    (root / "fox" / "notes.txt").write_text("nothing yet")
    message = refusal(build(cache=cache).prepare)
    assert (
        f"class folders without a picture (.png, .jpg, .jpeg): {root / 'bird'}, {root / 'fox'}; data.corrupt=skip"
        in message
    )
    data = build(cache=cache, corrupt="skip").prepare()
    assert data.spec.target == Classes(("cat", "dog"))
    assert str(root / "bird") in capsys.readouterr().out


def test_a_class_whose_pictures_are_all_broken_is_left_out(build: Make, root: Path) -> None:
    (root / "ant").mkdir()
    (root / "ant" / "1.png").write_text("bad")
    data = build(corrupt="skip").prepare()
    assert data.spec.target == Classes(("cat", "dog"))
    assert set(targets(data)) == {0, 1}


def test_a_file_that_breaks_while_it_is_streamed_is_named(build: Make, root: Path) -> None:
    data = build(cache=False, workers=1).prepare()
    for file in root.rglob("*.png"):
        file.write_text("bad")
    message = refusal(lambda: list(data.train_dataloader()))
    assert re.fullmatch(rf"{root}/\w+/\d+\.png: the content is no PNG or JPEG", message)


# Folders that are not as they should be.


def test_a_folder_that_is_not_there(build: Make, tmp_path: Path) -> None:
    wanted = "data.path must be a folder that holds one folder of pictures for each class, or train, val and test"
    assert refusal(build(path=tmp_path / "no").prepare) == f"there is no folder {tmp_path / 'no'}; {wanted}"
    (tmp_path / "file").write_text("x")
    assert refusal(build(path=tmp_path / "file").prepare) == f"{tmp_path / 'file'} is a file; {wanted}"
    (tmp_path / "flat").mkdir()
    draw(0).save(tmp_path / "flat" / "0.png")
    assert refusal(build(path=tmp_path / "flat").prepare) == f"there are no folders in {tmp_path / 'flat'}; {wanted}"


def test_one_class_is_too_few(build: Make, tmp_path: Path) -> None:
    fill(tmp_path / "one" / "cat", 5)
    message = refusal(build(path=tmp_path / "one").prepare)
    assert message.startswith(f"{tmp_path / 'one'} holds pictures of 'cat' alone to learn from")
    (tmp_path / "none" / "a").mkdir(parents=True)
    message = refusal(build(path=tmp_path / "none", corrupt="skip").prepare)
    assert message.startswith(f"{tmp_path / 'none'} holds no picture to learn from")


def test_a_class_that_training_lacks(build: Make, tmp_path: Path) -> None:
    top = tmp_path / "split"
    for part in ("train", "valid", "test"):
        for k, label in enumerate(("a", "b")):
            fill(top / part / label, 4, first=10 * k)
    fill(top / "valid" / "c", 1)
    message = refusal(build(path=top).prepare)
    assert message.startswith(f"{top / 'valid' / 'c'}: the val part has a class of which there is no picture to learn")
    assert message.endswith("the classes are a, b")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("cat", "dog", "test"), "holds test but no train"),
        (("val", "test"), "holds test and val but no train"),
        (("train", "val", "valid"), "holds both val and valid, and each would be the val part"),
        (("train",), "there are no folders in"),
    ],
)
def test_parts_that_are_not_as_they_should_be(build: Make, tmp_path: Path, names: tuple[str, ...], wanted: str) -> None:
    for name in names:
        fill(tmp_path / "split" / name, 2)
    assert wanted in refusal(build(path=tmp_path / "split").prepare)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"size": 0}, "size must be a number of pixels, or a list of height and width, not 0"),
        ({"size": [4]}, "not [4]"),
        ({"size": [4, -4]}, "not [4, -4]"),
        ({"channels": 2}, "channels must be one of 1, 3, not 2"),
        ({"corrupt": "ignore"}, "corrupt must be one of error, skip, not 'ignore'"),
        ({"cache": "yes"}, "cache must be one of auto, True, False, not 'yes'"),
        ({"workers": -1}, "workers must be at least 0, not -1"),
    ],
)
def test_settings_out_of_range(build: Make, settings: dict[str, Any], wanted: str) -> None:
    assert wanted in refusal(lambda: build(**settings))


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ([], "data.path is needed"),
        (["data.path=x", "data.size=big"], "data.size must be an integer or a list, not 'big'"),
        (["data.path=x", "data.size=[1,2,3]"], "data.size must be an integer or a list of 2, not [1, 2, 3]"),
        (["data.path=x", "data.channels=4"], "data.channels must be one of 1, 3, not 4"),
        (["data.path=x", "data.corrupt=skp"], "data.corrupt must be one of error, skip, not 'skp'"),
        (["data.path=x", "data.cache=yess"], "data.cache must be true or false or one of auto, not 'yess'"),
        (["data.path=x", "data.workers=all"], "data.workers must be an integer or null, not 'all'"),
        (["data.path=x", "model=seq2seq"], "model=seq2seq does not fit data=image_folder"),
    ],
)
def test_mistakes_on_the_command_line(overrides: list[str], wanted: str) -> None:
    assert wanted in refusal(lambda: check_command("train", ["data=image_folder", *overrides]))


def test_what_is_right_on_the_command_line() -> None:
    more = ["data.size=[32,48]", "data.channels=1", "data.corrupt=skip", "data.workers=2", "data.cache=false"]
    check_command("train", ["data=image_folder", "data.path=some/folder", *more])
    check_command("train", ["data=image_folder", "data.path=some/folder", "model=lenet"])


# In memory and streamed.


def test_the_cache_is_for_what_fits(build: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 60 * 3 * 8 * 8
    monkeypatch.setattr(image_folder, "free_memory", lambda: 3 * needed)
    assert isinstance(build().prepare().parts["train"], Batch)
    monkeypatch.setattr(image_folder, "free_memory", lambda: 3 * needed - 1)
    assert isinstance(build().prepare().parts["train"], Stream)
    assert isinstance(build(cache=True).prepare().parts["train"], Batch)


def test_a_part_can_be_handed_to_a_process_that_was_not_forked(build: Make) -> None:
    part = build(cache=False).prepare().parts["test"]
    assert isinstance(part, Stream)
    batch = pickle.loads(pickle.dumps(Chunks(part)))[np.array([2, 0])]
    assert torch.equal(batch.inputs, part.select(slice(0, 3)).inputs[[2, 0]])


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_those_in_memory(build: Make, workers: int) -> None:
    settings: dict[str, Any] = {"batch_size": 8, "augmentation": Flip()}
    cached = build(cache=True, **settings).prepare()
    streamed = build(cache=False, workers=workers, **settings).prepare()
    assert streamed.spec == cached.spec
    torch.manual_seed(0)
    pairs = [(cached.train_dataloader(), streamed.train_dataloader())]
    pairs += [(cached.test_dataloader(), streamed.test_dataloader())]
    for first, second in pairs:
        assert isinstance(second, StreamLoader)
        assert len(first) == len(second)
        for _ in range(2):
            for one, other in zip(first, second, strict=True):
                assert torch.equal(one.inputs, other.inputs)
                assert torch.equal(one.targets, other.targets)  # type: ignore[arg-type]


def fitted(data: ImageFolder, quiet_trainer: Callable[..., Any], **settings: Any) -> tuple[Tensor, dict[str, float]]:
    torch.manual_seed(0)
    model = MLP(data.spec, hidden_sizes=(16,), dropout=0.5)
    trainer = quiet_trainer(**settings)
    trainer.fit(model, datamodule=data)
    (figures,) = trainer.test(model, datamodule=data, verbose=False)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), figures


def test_weights_and_metrics_are_the_same_to_the_last_bit(build: Make, quiet_trainer: Callable[..., Any]) -> None:
    made = []
    for more in ({"cache": True}, {"cache": False}, {"cache": False, "workers": 2}):
        data = build(batch_size=8, augmentation=Flip(), **more).prepare()
        made.append(fitted(data, quiet_trainer, max_steps=2))
    (weights, figures), *others = made
    assert figures["test/loss"] > 0
    for their_weights, their_figures in others:
        assert torch.equal(weights, their_weights)
        assert figures == their_figures


def test_a_streamed_run_resumed_within_an_epoch_ends_as_the_unbroken_one(
    build: Make, quiet_trainer: Callable[..., Any], tmp_path: Path
) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    def run(steps: int, resume: str | None = None) -> tuple[dict[str, Tensor], str]:
        torch.manual_seed(0)
        data = build(batch_size=8, augmentation=Flip(), cache=False, workers=1).prepare()  # Six batches an epoch.
        model = MLP(data.spec, hidden_sizes=(16,), dropout=0.5)
        keep = ModelCheckpoint(dirpath=tmp_path / "kept", every_n_train_steps=1, save_top_k=-1, filename="{step}")
        trainer = quiet_trainer(max_steps=steps, enable_checkpointing=True, callbacks=[keep])
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
        assert trainer.global_step == steps
        return model.state_dict(), str(tmp_path / "kept" / f"step={steps}.ckpt")

    whole, _ = run(9)
    _, broken = run(4)
    resumed, _ = run(9, resume=broken)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


# Notes.


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from now on."""
    seen: list[str] = []

    def watched(path: Path, *shape: int) -> np.ndarray:
        seen.append(path.name)
        return decode(path, *shape)

    monkeypatch.setattr(survey, "decode", watched)
    return seen


def test_a_second_run_looks_at_new_and_changed_and_broken_files_alone(
    build: Make, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"cache": False, "corrupt": "skip"}
    (root / "cat" / "bad.png").write_text("bad")
    first = build(**settings).prepare()
    seen = counted(monkeypatch)
    second = build(**settings).prepare()
    assert seen == ["bad.png"]
    assert second.spec == first.spec
    seen.clear()
    draw(900, 30, 30).save(root / "dog" / "100.png")
    fill(root / "dog", 1, first=901)
    (root / "dog" / "102.png").unlink()
    third = build(**settings).prepare()
    assert sorted(seen) == ["100.png", "901.png", "bad.png"]
    for file in (tmp_path / "data" / "image_folder").iterdir():
        file.unlink()
    assert third.spec == build(**settings).prepare().spec
    seen.clear()
    build(size=9, **settings).prepare()
    assert len(seen) == 61  # Notes are for one size.


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_notes_that_are_damaged_are_made_anew(
    build: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: bytes | None
) -> None:
    first = build(cache=False).prepare()
    (file,) = (tmp_path / "data" / "image_folder").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    seen = counted(monkeypatch)
    assert build(cache=False).prepare().spec == first.spec
    assert len(seen) == 60
    assert file.read_bytes()[:2] == b"PK"
    assert len(list(file.parent.iterdir())) == 1


def test_notes_that_cannot_be_written_do_no_harm(build: Make, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder would be")
    assert build(cache=False).prepare().parts["train"].size == 42


def test_pictures_in_memory_leave_nothing_behind(build: Make, tmp_path: Path) -> None:
    build(cache=True).prepare()
    assert not (tmp_path / "data").exists()


# Learning.


def test_an_mlp_learns_digits_from_files(tmp_path: Path, quiet_trainer: Callable[..., Any]) -> None:
    images, labels = load_digits(return_X_y=True)
    top = tmp_path / "digits"
    for k, (image, label) in enumerate(zip(images[:1000], labels[:1000], strict=True)):
        (top / str(label)).mkdir(parents=True, exist_ok=True)
        Pictures.fromarray((image.reshape(8, 8) * 15.9).astype(np.uint8)).save(top / str(label) / f"{k}.png")
    torch.manual_seed(0)
    data = ImageFolder(top, size=8, channels=1, batch_size=32, data_dir=tmp_path).prepare()
    model = MLP(data.spec)
    trainer = quiet_trainer(max_epochs=10)
    trainer.fit(model, datamodule=data)
    (figures,) = trainer.test(model, datamodule=data, verbose=False)
    baseline = np.bincount(targets(data, "test")).max() / data.parts["test"].size
    assert figures["test/accuracy"] > baseline + 0.7
