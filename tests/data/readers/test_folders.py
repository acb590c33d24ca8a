"""Class and part folders, and invalid folder layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.image_folders import Make, draw, fill, inputs, refusal, targets

from primer.data.readers.decoding import decode
from primer.spec import Classes


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "valid", "Test"), ("train", "validation")])
@pytest.mark.parametrize("cache", [True, False])
def test_published_parts_are_kept(tmp_path: Path, build: Make, names: tuple[str, ...], cache: bool) -> None:
    root = tmp_path / "split"
    for k, name in enumerate(names):
        for j, label in enumerate(("a", "b")):
            fill(root / name / label, 10 - 2 * k, first=100 * k + 20 * j)
    (root / "notes").mkdir()  # Other folders are not classes.
    data = build(path=root, cache=cache).prepare()
    sizes = {name: part.size for name, part in data.parts.items()}
    if "test" in (name.lower() for name in names):
        assert sizes == {"train": 20, "val": 16, "test": 12}
    else:
        assert sizes == {"train": 16, "val": 16, "test": 4}  # A fifth of the 20 samples is held out.
    held_out = sorted((root / names[1]).rglob("*.png"))
    assert torch.equal(inputs(data, "val"), torch.from_numpy(np.stack([decode(file, 3, 8, 8) for file in held_out])))
    assert targets(data, "val") == [0] * 8 + [1] * 8


def test_nested_hidden_and_unrelated_files(build: Make, root: Path) -> None:
    fill(root / "cat" / "young" / "new", 3, first=500)
    draw(700).save(root / "cat" / "LOUD.PNG")
    draw(701).save(root / "cat" / "b.JpEg", "JPEG")
    fill(root / "cat" / ".thumbnails", 3, first=600)
    fill(root / ".cache" / "deep", 3, first=600)
    draw(800).save(root / "cat" / "._000.png")
    draw(801).save(root / "loose.png")
    for name in ("Thumbs.db", "labels.txt", "a.zip", "png"):
        (root / "cat" / name).write_text("no picture")
    data = build(val_fraction=0.0).prepare()
    assert sum(part.size for part in data.parts.values()) == 65
    assert data.spec.target == Classes(("cat", "dog"))


def test_a_class_may_be_named_train(tmp_path: Path, build: Make) -> None:
    for k, name in enumerate(("bus", "car", "train")):
        fill(tmp_path / "vehicles" / name, 6, first=10 * k)
    assert build(path=tmp_path / "vehicles").prepare().spec.target == Classes(("bus", "car", "train"))
    for k, name in enumerate(("invalid", "valid")):
        fill(tmp_path / "checks" / name, 6, first=10 * k)
    assert build(path=tmp_path / "checks").prepare().spec.target == Classes(("invalid", "valid"))


def test_missing_and_flat_folders_are_rejected(build: Make, tmp_path: Path) -> None:
    expected = "data.path must be a folder with one folder of images per class, or with the folders train, val and test"
    assert refusal(build(path=tmp_path / "no").prepare) == f"there is no folder {tmp_path / 'no'}; {expected}"
    (tmp_path / "file").write_text("x")
    assert refusal(build(path=tmp_path / "file").prepare) == f"{tmp_path / 'file'} is a file; {expected}"
    (tmp_path / "flat").mkdir()
    draw(0).save(tmp_path / "flat" / "0.png")
    assert refusal(build(path=tmp_path / "flat").prepare) == f"there are no folders in {tmp_path / 'flat'}; {expected}"


def test_a_single_class_is_rejected(build: Make, tmp_path: Path) -> None:
    fill(tmp_path / "one" / "cat", 5)
    message = refusal(build(path=tmp_path / "one").prepare)
    assert message.startswith(f"{tmp_path / 'one'} has only training images of 'cat'")
    (tmp_path / "none" / "a").mkdir(parents=True)
    message = refusal(build(path=tmp_path / "none", corrupt="skip").prepare)
    assert message.startswith(f"{tmp_path / 'none'} has no training images")


def test_a_class_without_training_images_is_rejected(build: Make, tmp_path: Path) -> None:
    root = tmp_path / "split"
    for part in ("train", "valid", "test"):
        for k, label in enumerate(("a", "b")):
            fill(root / part / label, 4, first=10 * k)
    fill(root / "valid" / "c", 1)
    message = refusal(build(path=root).prepare)
    assert message.startswith(f"{root / 'valid' / 'c'}: this class of the val part has no training images")
    assert message.endswith("the classes are a, b")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("cat", "dog", "test"), "has test but no folder train"),
        (("val", "test"), "has test and val but no folder train"),
        (("train", "val", "valid"), "has both val and valid, which would both be the val part"),
        (("train",), "there are no folders in"),
    ],
)
def test_inconsistent_part_folders_are_rejected(
    build: Make, tmp_path: Path, names: tuple[str, ...], expected: str
) -> None:
    for name in names:
        fill(tmp_path / "split" / name, 2)
    assert expected in refusal(build(path=tmp_path / "split").prepare)


# Links.


def test_a_link_to_a_folder_that_contains_it_is_not_followed(build: Make, root: Path) -> None:
    expected = build().prepare()
    (root / "cat" / "itself").symlink_to(root / "cat")
    (root / "cat" / "all").symlink_to(root)
    (root / "everything").symlink_to(root)
    (root / "cat" / "parent").symlink_to("..")
    (root / "dog" / "deep").mkdir()
    (root / "dog" / "deep" / "up").symlink_to(root / "dog")
    (root / "dog" / "broken").symlink_to(root / "dog" / "broken")
    data = build().prepare()
    assert data.spec == expected.spec
    assert {part: inputs(data, part).tolist() for part in data.parts} == {
        part: inputs(expected, part).tolist() for part in expected.parts
    }


def test_a_file_counts_once(build: Make, root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 4, first=300)
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "same.png").symlink_to(root / "cat" / "000.png")
    for first, second in (("x", "y"), ("y", "x")):  # Two folders outside that lead to each other.
        fill(tmp_path / first, 1, first=ord(first))
        (tmp_path / first / "other").symlink_to(tmp_path / second)
    (root / "cat" / "x").symlink_to(tmp_path / "x")
    assert sum(build().prepare().sizes().values()) == 60 + 4 + 2


def test_a_class_folder_may_be_a_link(build: Make, root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 10, first=300)
    (root / "fox").symlink_to(tmp_path / "elsewhere")
    assert build().prepare().spec.target == Classes(("cat", "dog", "fox"))


@pytest.mark.parametrize("link", ["cat/dogs", "cat/100.png"])
def test_a_link_to_another_class_is_rejected(build: Make, root: Path, link: str) -> None:
    (root / link).symlink_to(root / "dog" / ("100.png" if link.endswith("png") else ""))
    message = refusal(build().prepare)
    assert message.startswith(f"{root / 'dog' / '100.png'} is a link to the same file as {root / 'cat'}/")


def test_a_link_from_the_test_part_to_the_training_part_is_rejected(build: Make, tmp_path: Path) -> None:
    for k, name in enumerate(("train/a", "train/b", "test/a", "test/b")):
        fill(tmp_path / "split" / name, 4, first=10 * k)
    (tmp_path / "split" / "test" / "a" / "x.png").symlink_to(tmp_path / "split" / "train" / "a" / "000.png")
    assert "in another class or part: remove one of them" in refusal(build(path=tmp_path / "split").prepare)


# Formats.


def test_other_image_formats_are_read(build: Make, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, kind in enumerate(("webp", "gif", "bmp", "tiff", "ppm", "tif", "jfif", "WEBP")):
        draw(700 + k).save(root / "cat" / f"other{k}.{kind}", "JPEG" if kind == "jfif" else None)
    (root / "cat" / "labels.txt").write_text("no image")
    (root / "dog" / "README").write_text("no image")
    data = build().prepare()
    assert sum(data.sizes().values()) == 68
    assert capsys.readouterr().out == f"note: 2 files of {root} are not images and left out (.txt, no suffix)\n"


def test_images_of_floating_point_numbers_are_rejected(build: Make, root: Path) -> None:
    PIL.Image.fromarray(np.zeros((8, 8), np.float32)).save(root / "cat" / "height.tiff")
    assert "height.tiff: the image cannot be decoded (its pixels are floating-point numbers)" in refusal(
        build().prepare
    )


def test_a_read_only_data_folder_costs_the_cache_only(build: Make) -> None:
    """Nobody can write to /proc, not even the superuser."""
    data = build(cache=False, data_dir="/proc/primer").prepare()
    assert data.spec == build(cache=False).prepare().spec
