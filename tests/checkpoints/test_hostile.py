"""Checkpoints that try to run code, write files, connect, read secrets or fill the memory: nothing of it happens."""

from __future__ import annotations

import itertools
import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoint_readers import READERS, changed, read

from primer.checkpoints import reading
from primer.errors import InputError

TEXT = "precious"


class Trap:
    """A file and a listening socket that must stay untouched."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "canary.txt"
        self.file.write_text(TEXT)
        self.files = sorted(os.listdir(folder))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def check(self) -> None:
        assert self.file.read_text() == TEXT
        assert sorted(os.listdir(self.file.parent)) == self.files
        with pytest.raises(BlockingIOError):
            self.socket.accept()


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trap]:
    trap = Trap(tmp_path_factory.mktemp("trap"))
    yield trap
    trap.socket.close()


ALIAS = "primer.checkpoints.reading"

PAYLOADS: dict[str, dict[str, Any]] = {
    "writer": {"_target_": f"{ALIAS}.torch.serialization._open_zipfile_writer_file", "_args_": ["FILE"]},
    "open": {"_target_": f"{ALIAS}.torch.serialization._open_file", "name": "FILE", "mode": "w"},
    "stream": {"_target_": f"{ALIAS}.torch.PyTorchFileWriter", "_args_": ["FILE"]},
    "package": {"_target_": f"{ALIAS}.torch.package.PackageExporter", "f": "FILE"},
    "connect": {
        "_target_": f"{ALIAS}.torch.distributed.TCPStore", "host_name": "127.0.0.1", "port": "PORT",
        "world_size": 1, "is_master": False, "wait_for_workers": False,
    },
    "hub": {"_target_": "torch.hub.load", "repo_or_dir": "FOLDER", "model": "x", "source": "local"},
    "unpickle": {"_target_": "torch.load", "f": "PICKLE", "weights_only": False},
    "save": {"_target_": f"{ALIAS}.torch.save", "obj": "x", "f": "FILE"},
    "shell": {"_target_": "primer.run.accelerators.os.system", "command": "echo > FILE"},
    "eval": {"_target_": "builtins.eval", "_args_": ["open('FILE', 'w')"]},
    "write": {"_target_": "primer.records.run_folder.write", "path": "FILE", "text": "x"},
    "copy": {"_target_": "primer.checkpoints.saving.copy_atomically", "source": "PICKLE", "destination": "FILE"},
    "path": {"_target_": f"{ALIAS}.Path.unlink", "_args_": ["FILE"]},
    "logger": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "FOLDER"},
    "logging": {"_target_": "primer.run.training.logging.FileHandler", "filename": "FILE", "mode": "w"},
    "partial": {"_target_": "primer.records.run_folder.write", "_partial_": True, "path": "FILE", "text": "x"},
}  # fmt: skip
"""Nodes that would do harm if they were instantiated."""

PLACES: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "data": lambda ours, evil: ours["config"].update(data=evil),
    "augmentation": lambda ours, evil: ours["config"]["data"].update(augmentation=[evil]),
    "split": lambda ours, evil: ours["config"]["data"].update(split_seed=evil),
    "deep": lambda ours, evil: ours["config"]["data"].update(folds=[{"a": [evil]}]),
    "regularization": lambda ours, evil: ours["config"]["regularization"].update(augmentation={"flip": evil}),
    "model": lambda ours, evil: ours.update(model=evil),
    "sizes": lambda ours, evil: ours["model"].update(hidden_sizes=evil),
    "objective": lambda ours, evil: ours.update(objective=evil),
    "smoothing": lambda ours, evil: ours["objective"].update(label_smoothing=evil),
    "spec": lambda ours, evil: ours["spec"].update(input=evil),
    "seed": lambda ours, evil: ours["config"].update(seed=evil),
    "top": lambda ours, evil: ours.update(config=evil),
}
"""Places of a checkpoint that are read when it is loaded or evaluated."""

CASES = [
    (payload, place)
    for index, (payload, place) in enumerate(itertools.product(PAYLOADS, PLACES))
    if index % len(PLACES) % 3 == list(PAYLOADS).index(payload) % 3
]
"""Each payload in every third place, so that each place has a third of the payloads."""


def filled(value: Any, trap: Trap, pickled: Path) -> Any:
    """Replaces the names of the file, folder, port and pickle in a payload."""
    if isinstance(value, dict):
        return {key: filled(item, trap, pickled) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, trap, pickled) for item in value]
    if value == "PORT":
        return trap.port
    names = {"FILE": trap.file, "FOLDER": trap.file.parent, "PICKLE": pickled}
    for name, path in names.items():
        value = value.replace(name, str(path)) if isinstance(value, str) else value
    return value


class Harm:
    """Overwrites a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.file)!r}, 'w')",)


@pytest.mark.parametrize(("payload", "place"), CASES)
def test_no_target_of_a_checkpoint_is_called(
    payload: str, place: str, checkpoint: Path, trap: Trap, tmp_path: Path
) -> None:
    pickled = tmp_path / "harm.pkl"
    pickled.write_bytes(pickle.dumps(Harm(trap.file)))
    evil = filled(PAYLOADS[payload], trap, pickled)
    file = changed(checkpoint, tmp_path / "evil.ckpt", lambda content: PLACES[place](content["primer"], evil))
    for reader in READERS:
        message = read(reader, file, tmp_path / reader)
        if reader == "evaluate" and place != "regularization":  # Evaluation does not augment, so it builds none.
            assert message is not None
        trap.check()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("data", {"path": "/x/${oc.env:PRIMER_TEST_SECRET}"}),
        ("data", {"data_dir": "${oc.env:PRIMER_TEST_SECRET}"}),
        ("data", {"names": [{"a": "${oc.env:PRIMER_TEST_SECRET}"}]}),
        ("paths", {"log_dir": "${oc.decode:${oc.env:PRIMER_TEST_SECRET}}"}),
        ("optimizer", {"lr": "${oc.env:PRIMER_TEST_SECRET}"}),
        ("scheduler", {"_args_": [1]}),
        ("optimizer", {"_partial_": True}),
        ("callbacks", {"x": {"_target_": "os.system"}}),
    ],
)
def test_interpolations_and_special_keys_are_refused(
    place: str, value: Any, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIMER_TEST_SECRET", "hunter2")

    def change(content: dict[str, Any]) -> None:
        content["primer"]["config"][place] |= value

    file = changed(checkpoint, tmp_path / "evil.ckpt", change)
    for reader in READERS:
        message = read(reader, file, tmp_path / reader)
        assert message is not None
        assert "hunter2" not in message


def test_pickled_code_is_not_run(checkpoint: Path, trap: Trap, tmp_path: Path) -> None:
    places: list[Callable[[dict[str, Any]], Any]] = [
        lambda content: content.update(evil=Harm(trap.file)),
        lambda content: content["primer"]["config"].update(seed=Harm(trap.file)),
        lambda content: content["callbacks"].update(evil=Harm(trap.file)),
        lambda content: content["state_dict"].update(evil=Harm(trap.file)),
    ]
    for place in places:
        file = changed(checkpoint, tmp_path / "evil.ckpt", place)
        for reader in READERS:
            assert "contains more than tensors and plain values" in str(read(reader, file, tmp_path / reader))
            trap.check()


# Archives.


def rewritten(checkpoint: Path, to: Path, compression: int, extra: bytes = b"") -> Path:
    """Writes the members of a checkpoint to a new archive, and ``extra`` as one more."""
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(to, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        if extra:
            new.writestr(f"{old.namelist()[0].split('/')[0]}/data/99", extra)
    return to


def duplicated(checkpoint: Path, to: Path) -> Path:
    """Lists the largest member of an archive under 1,000 names."""
    rewritten(checkpoint, to, zipfile.ZIP_STORED)
    with zipfile.ZipFile(to, "a") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        for index in range(1000):
            copy = zipfile.ZipInfo(f"copy/{index}")
            copy.header_offset, copy.CRC = largest.header_offset, largest.CRC
            copy.file_size = copy.compress_size = largest.file_size
            archive.filelist.append(copy)
        archive._didModify = True  # type: ignore[attr-defined]
    return to


@pytest.mark.parametrize("kind", ["bomb", "compressed", "overlapping"])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    kind: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bomb.ckpt"
    if kind == "overlapping":
        duplicated(checkpoint, file)
    else:
        rewritten(checkpoint, file, zipfile.ZIP_DEFLATED, bytes(100_000_000) if kind == "bomb" else b"")
    assert file.stat().st_size < 1_000_000
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("was unpacked"))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args, **kwargs: pytest.fail("was unpacked"))
    for reader in READERS:
        assert "is not a checkpoint, or is damaged: its members are" in str(read(reader, file, tmp_path / reader))


# Damage.


def flip(file: Path, to: Path, position: int) -> Path:
    content = bytearray(file.read_bytes())
    content[position] ^= 1 << (position % 8)
    to.write_bytes(content)
    return to


def test_every_flipped_bit_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    """Includes the padding between members, their headers, the directory of the archive, and the checksum."""
    size = checkpoint.stat().st_size
    positions = {*range(0, size, size // 100), *range(size - 100, size)}
    reading.read_checkpoint(checkpoint)
    for position in positions:
        with pytest.raises(InputError, match="damaged") as caught:
            reading.read_checkpoint(flip(checkpoint, tmp_path / "flipped.ckpt", position))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_each_reader_notices_damage(reader: str, checkpoint: Path, tmp_path: Path) -> None:
    content, file = checkpoint.read_bytes(), tmp_path / "damaged.ckpt"
    damaged = [content + b"x", content + bytes(1000), content[:-1], content[: len(content) // 2], content[:3], b""]
    damaged += [flip(checkpoint, file, len(content) // part).read_bytes() for part in (2, 3)]
    for text in damaged:
        file.write_bytes(text)
        assert "damaged" in str(read(reader, file, tmp_path / reader))


def test_a_flipped_byte_of_a_tensor_is_noticed_without_our_checksum(checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint that ``torch.save`` or Lightning's own callback wrote has the checksums of the zip archive only."""
    file = changed(checkpoint, tmp_path / "plain.ckpt", lambda content: None)
    reading.read_checkpoint(file)
    with zipfile.ZipFile(file) as archive:
        member = next(member for member in archive.infolist() if member.filename.endswith("data/0"))
    raw = file.read_bytes()
    start = member.header_offset + 30 + sum(struct.unpack("<HH", raw[member.header_offset + 26 :][:4]))
    for position in range(start, start + member.file_size, max(1, member.file_size // 12)):
        with pytest.raises(InputError, match=r"the checksum of .* does not match"):
            reading.read_checkpoint(flip(file, tmp_path / "flipped.ckpt", position))
