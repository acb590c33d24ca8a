"""Class and part folders, and invalid folder layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
    for name in ("Thumbs.db", "labels.txt", "a.gif", "png"):
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
