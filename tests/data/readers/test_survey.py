"""Decoding all images before training: damaged files, and the cache of statistics."""

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

# Damaged files.


def damage_files(root: Path) -> dict[str, str]:
    """Writes a damaged file of each kind, and returns the expected messages."""
    intact = io.BytesIO()
    draw(1, 200, 200).save(intact, "JPEG")
    (root / "cat" / "cut.jpg").write_bytes(intact.getvalue()[: len(intact.getvalue()) // 2])
    intact = io.BytesIO()
    draw(1, 200, 200).save(intact, "PNG")
    (root / "cat" / "cut.png").write_bytes(intact.getvalue()[: len(intact.getvalue()) // 2])
    (root / "cat" / "text.png").write_text("not a picture")
    (root / "dog" / "empty.jpeg").write_bytes(b"")
    (root / "dog" / "bomb.png").write_bytes(bomb())
    (root / "dog" / "gone.png").symlink_to(root / "nowhere.png")
    return {
        "cat/cut.jpg": "truncated",
        "cat/cut.png": "truncated",
        "cat/text.png": "the content is not an image of a known format",
        "dog/empty.jpeg": "the file is empty",
        "dog/bomb.png": "exceeds limit",
        "dog/gone.png": "No such file",
    }


def bomb() -> bytes:
    """Returns a PNG whose header claims 900 million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("cache", [True, False])
def test_damaged_files_are_listed(build: Make, root: Path, cache: bool) -> None:
    messages = damage_files(root)
    message = refusal(build(cache=cache).prepare)
    assert message.startswith("6 of 66 images cannot be read: ")
    assert message.endswith("; set data.corrupt=skip to skip them")
    for name, reason in messages.items():
        assert re.search(rf"{re.escape(str(root / name))}: [^,]*{reason}", message), message


@pytest.mark.parametrize("name", ["cat/cut.jpg", "cat/text.png", "dog/empty.jpeg"])
def test_a_single_damaged_file_is_reported_in_one_line(build: Make, root: Path, name: str) -> None:
    messages = damage_files(root)
    for other in messages:
        if other != name:
            (root / other).unlink()
    message = refusal(build().prepare)
    assert message.startswith(f"1 of 61 images cannot be read: {root / name}: ")
    assert messages[name] in message


@pytest.mark.parametrize("cache", [True, False])
def test_damaged_files_can_be_skipped(
    build: Make, root: Path, cache: bool, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    intact = build(cache=cache).prepare()
    messages = damage_files(root)
    data = build(cache=cache, corrupt="skip").prepare()
    output = capsys.readouterr().out.strip().splitlines()
    assert len(output) == 1
    assert output[0].startswith("skipped: 6 of 66 images cannot be read: ")
    for name in messages:
        assert str(root / name) in output[0]
        assert any(str(root / name) in record.message for record in caplog.records)
    for part in ("train", "val", "test"):  # Other samples are unchanged.
        assert torch.equal(inputs(data, part), inputs(intact, part))
        assert targets(data, part) == targets(intact, part)
    assert data.spec == intact.spec


def test_many_damaged_files_are_summarized_and_logged(
    build: Make, root: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(25):
        (root / "cat" / f"bad{k:02}.png").write_text("bad")
    build(corrupt="skip").prepare()
    output = capsys.readouterr().out
    assert "bad09.png" in output
    assert "bad10.png" not in output
    assert "and 15 more" in output
    assert all(any(f"bad{k:02}.png" in record.message for record in caplog.records) for k in range(25))


@pytest.mark.parametrize("cache", [True, False])
def test_class_folders_without_images(build: Make, root: Path, cache: bool, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "bird").mkdir()
    (root / "fox").mkdir()
    (root / "fox" / "notes.txt").write_text("nothing yet")
    message = refusal(build(cache=cache).prepare)
    assert (
        f"class folders without images (.png, .jpg, .webp etc.): {root / 'bird'}, {root / 'fox'}; set data.corrupt=skip"
        in message
    )
    data = build(cache=cache, corrupt="skip").prepare()
    assert data.spec.target == Classes(("cat", "dog"))
    assert str(root / "bird") in capsys.readouterr().out


def test_a_class_with_only_damaged_images_is_skipped(build: Make, root: Path) -> None:
    (root / "ant").mkdir()
    (root / "ant" / "1.png").write_text("bad")
    data = build(corrupt="skip").prepare()
    assert data.spec.target == Classes(("cat", "dog"))
    assert set(targets(data)) == {0, 1}


def test_files_damaged_during_streaming_are_reported(build: Make, root: Path) -> None:
    data = build(cache=False, workers=1).prepare()
    for file in root.rglob("*.png"):
        file.write_text("bad")
    message = refusal(lambda: list(data.train_dataloader()))
    assert re.fullmatch(rf"{root}/\w+/\d+\.png: the content is not an image of a known format", message)


# Cache.


def record_decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list to which the names of decoded files are appended from now on."""
    decoded: list[str] = []

    def recording_decode(path: Path, *shape: int) -> np.ndarray:
        decoded.append(path.name)
        return decode(path, *shape)

    monkeypatch.setattr(survey, "decode", recording_decode)
    return decoded


def test_a_second_run_decodes_only_new_changed_and_damaged_files(
    build: Make, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"cache": False, "corrupt": "skip"}
    (root / "cat" / "bad.png").write_text("bad")
    first = build(**settings).prepare()
    decoded = record_decoded(monkeypatch)
    second = build(**settings).prepare()
    assert decoded == ["bad.png"]
    assert second.spec == first.spec
    decoded.clear()
    draw(900, 30, 30).save(root / "dog" / "100.png")
    fill(root / "dog", 1, first=901)
    (root / "dog" / "102.png").unlink()
    third = build(**settings).prepare()
    assert sorted(decoded) == ["100.png", "901.png", "bad.png"]
    for file in (tmp_path / "data" / "image_folder").iterdir():
        file.unlink()
    assert third.spec == build(**settings).prepare().spec
    decoded.clear()
    build(size=9, **settings).prepare()
    assert len(decoded) == 61  # The cache depends on the size.


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_a_damaged_cache_is_rebuilt(
    build: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: bytes | None
) -> None:
    first = build(cache=False).prepare()
    (file,) = (tmp_path / "data" / "image_folder").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    decoded = record_decoded(monkeypatch)
    assert build(cache=False).prepare().spec == first.spec
    assert len(decoded) == 60
    assert file.read_bytes()[:2] == b"PK"
    assert len(list(file.parent.iterdir())) == 1


def test_an_unwritable_cache_is_ignored(build: Make, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder would be")
    assert build(cache=False).prepare().parts["train"].size == 42


def test_in_memory_images_do_not_write_a_cache(build: Make, tmp_path: Path) -> None:
    build(cache=True).prepare()
    assert not (tmp_path / "data").exists()
