"""The look at every picture before training: broken files, and notes for the next look."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.image_folders import Make, draw, fill, inputs, refusal, targets

from primer.data.readers import survey
from primer.data.readers.decoding import decode
from primer.spec import Classes

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
