"""Image data sets, with tiny files in the published formats."""

from __future__ import annotations

import functools
import gzip
import hashlib
import pickle
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from primer.config.paths import CONFIGS
from primer.data.images.images import CIFAR10, CIFAR100, MNIST, FashionMNIST, TorchvisionImages
from primer.errors import InputError
from primer.spec import Classes, Image

TRAIN, TEST = 100, 20
IDX_FILES = {
    "train-images-idx3-ubyte": ("train", 0),
    "train-labels-idx1-ubyte": ("train", 1),
    "t10k-images-idx3-ubyte": ("test", 0),
    "t10k-labels-idx1-ubyte": ("test", 1),
}
Samples = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """A function that serves a folder over local HTTP and returns the URL."""
    servers = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that disables network access."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("no network")

    return lambda: monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


# Reading.


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_grayscale_data_sets_are_read_in_the_published_format(
    kind: type[MNIST], tmp_path: Path, offline: Callable[[], None]
) -> None:
    samples = draw((1, 28, 28), classes=10)
    write_idx(tmp_path / kind.source.__name__ / "raw", samples)
    before = contents(tmp_path)
    offline()
    data = kind(data_dir=tmp_path, val_fraction=0.1).prepare()
    check_parts(data, samples)
    assert isinstance(data.spec.target, Classes)
    assert data.spec.target.names[3] == ("3" if kind is MNIST else "Dress")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(("kind", "classes"), [(CIFAR10, 10), (CIFAR100, 100)])
def test_color_data_sets_are_read_in_the_published_format(
    kind: type[CIFAR10], classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]
) -> None:
    samples = draw((3, 32, 32), classes)
    write_cifar(kind, tmp_path, samples, classes, monkeypatch)
    before = contents(tmp_path)
    offline()
    data = kind(data_dir=tmp_path, val_fraction=0.1).prepare()
    check_parts(data, samples)
    assert isinstance(data.spec.target, Classes)
    assert data.spec.target.names == tuple(f"class {k}" for k in range(classes))
    assert contents(tmp_path) == before


def test_standardized_batches_have_mean_0_and_standard_deviation_1(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST/raw", draw((1, 28, 28), classes=10))
    data = MNIST(data_dir=tmp_path, val_fraction=0.1, batch_size="full").prepare()
    (batch,) = data.train_dataloader()
    assert batch.inputs.dtype == torch.float32
    assert batch.inputs.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.inputs.std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_default_validation_part_has_5000_of_60000_images(name: str) -> None:
    assert round(60000 * OmegaConf.load(CONFIGS / f"data/{name}.yaml").val_fraction) == 5000


def test_the_real_mnist(data_dir_or_skip: Callable[[str], Path]) -> None:
    folder = data_dir_or_skip("MNIST/raw/train-images-idx3-ubyte").parents[2]
    data = MNIST(data_dir=folder, val_fraction=OmegaConf.load(CONFIGS / "data/mnist.yaml").val_fraction).prepare()
    assert {part: batch.size for part, batch in data.parts.items()} == {"train": 55000, "val": 5000, "test": 10000}
    assert isinstance(data.spec.input, Image)
    assert data.spec.input.mean == pytest.approx([0.1307], abs=1e-3)
    assert data.spec.input.std == pytest.approx([0.3081], abs=1e-3)
    counts = data.parts["test"].targets.bincount()
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    differences = data.parts["val"].targets.bincount() / 5000 - data.parts["train"].targets.bincount() / 55000
    assert differences.abs().max() < 1e-3


# Downloading.


def test_mnist_is_downloaded_once(
    tmp_path: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]
) -> None:
    samples = draw((1, 28, 28), classes=10)
    publish_idx(MNIST, tmp_path / "site", samples, monkeypatch)
    monkeypatch.setattr(MNIST.source, "mirrors", [serve(tmp_path / "site")])
    check_parts(MNIST(data_dir=tmp_path / "data", val_fraction=0.1).prepare(), samples)
    offline()
    check_parts(MNIST(data_dir=tmp_path / "data", val_fraction=0.1).prepare(), samples)


def test_cifar_is_downloaded_once(
    tmp_path: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]
) -> None:
    samples = draw((3, 32, 32), classes=10)
    publish_cifar(CIFAR10, tmp_path / "site", samples, 10, monkeypatch)
    monkeypatch.setattr(CIFAR10.source, "url", serve(tmp_path / "site") + CIFAR10.source.filename)
    check_parts(CIFAR10(data_dir=tmp_path / "data", val_fraction=0.1).prepare(), samples)
    offline()
    check_parts(CIFAR10(data_dir=tmp_path / "data", val_fraction=0.1).prepare(), samples)


def test_manually_downloaded_archives_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]
) -> None:
    grayscale, color = draw((1, 28, 28), classes=10), draw((3, 32, 32), classes=100)
    publish_idx(FashionMNIST, tmp_path / "FashionMNIST/raw", grayscale, monkeypatch)
    publish_cifar(CIFAR100, tmp_path, color, 100, monkeypatch)
    offline()
    check_parts(FashionMNIST(data_dir=tmp_path, val_fraction=0.1).prepare(), grayscale)
    check_parts(CIFAR100(data_dir=tmp_path, val_fraction=0.1).prepare(), color)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10, CIFAR100])
def test_missing_network_access_is_reported_in_one_line(
    kind: type[TorchvisionImages], tmp_path: Path, offline: Callable[[], None]
) -> None:
    offline()
    with pytest.raises(InputError, match=r"cannot be downloaded.*no network.*manually") as caught:
        kind(data_dir=tmp_path / "data").prepare()
    assert not contents(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert kind.source.__name__ in message
    assert str(tmp_path) in message
    for archive in kind(data_dir=tmp_path / "data").archives:
        assert archive.name in message


def test_a_download_with_a_wrong_checksum_is_rejected(
    tmp_path: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_idx(MNIST, tmp_path / "site", draw((1, 28, 28), classes=10), monkeypatch)
    file = tmp_path / "site/train-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-1])
    monkeypatch.setattr(MNIST.source, "mirrors", [serve(tmp_path / "site")])
    with pytest.raises(InputError, match=r"train-labels-idx1-ubyte\.gz.*corrupted") as caught:
        MNIST(data_dir=tmp_path / "data").prepare()
    assert "\n" not in str(caught.value)


def test_a_modified_pickle_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Callable[[], None]
) -> None:
    write_cifar(CIFAR10, tmp_path, draw((3, 32, 32), classes=10), 10, monkeypatch)
    opened = []
    monkeypatch.setattr(pickle, "load", lambda *args, **kwargs: opened.append(args))
    file = tmp_path / CIFAR10.source.base_folder / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    offline()
    with pytest.raises(InputError, match="files are missing in"):
        CIFAR10(data_dir=tmp_path).prepare()
    assert not opened


@pytest.mark.parametrize(
    ("name", "length"),
    [("train-images-idx3-ubyte", 1000), ("t10k-labels-idx1-ubyte", 10), ("t10k-images-idx3-ubyte", 0)],
)
def test_a_truncated_file_is_reported_in_one_line(
    name: str, length: int, tmp_path: Path, offline: Callable[[], None]
) -> None:
    folder = tmp_path / "MNIST/raw"
    write_idx(folder, draw((1, 28, 28), classes=10))
    (folder / name).write_bytes((folder / name).read_bytes()[:length])
    offline()
    with pytest.raises(InputError, match=f"{folder} is damaged.*delete it") as caught:
        MNIST(data_dir=tmp_path).prepare()
    assert "\n" not in str(caught.value)


def test_numbers_of_images_and_labels_must_match(tmp_path: Path) -> None:
    samples = draw((1, 28, 28), classes=10)
    images, labels = samples["train"]
    write_idx(tmp_path / "MNIST/raw", samples | {"train": (images, labels[:-1])})
    with pytest.raises(InputError, match=f"damaged.*{TRAIN} images, {TRAIN - 1} labels"):
        MNIST(data_dir=tmp_path).prepare()


# Files in the published formats.


def draw(shape: tuple[int, int, int], classes: int) -> Samples:
    """Draws random images, whose labels cycle through all classes."""
    random = np.random.default_rng(classes)
    return {
        part: (random.integers(0, 256, (size, *shape), dtype=np.uint8), np.arange(size, dtype=np.uint8) % classes)
        for part, size in (("train", TRAIN), ("test", TEST))
    }


def write_idx(folder: Path, samples: Samples) -> None:
    """Writes the four files of MNIST: a magic number, the sizes as big-endian integers, then bytes."""
    folder.mkdir(parents=True)
    for name, (part, index) in IDX_FILES.items():
        array = samples[part][index]
        array = array.squeeze(1) if array.ndim == 4 else array
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / name).write_bytes(header + array.tobytes())


def publish_idx(kind: type[MNIST], folder: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the same four files, compressed, and patches their checksums in torchvision."""
    write_idx(folder, samples)
    resources = []
    for name in IDX_FILES:
        archive = folder / f"{name}.gz"
        archive.write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
        resources.append((archive.name, md5(archive)))
    monkeypatch.setattr(kind.source, "resources", resources)


def write_cifar(
    kind: type[CIFAR10], folder: Path, samples: Samples, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes pickled batches, and patches their checksums in torchvision."""
    source, base = kind.source, folder / kind.source.base_folder
    base.mkdir(parents=True)
    key = "labels" if kind is CIFAR10 else "fine_labels"
    for part, files in (("train", source.train_list), ("test", source.test_list)):
        images, labels = (np.array_split(array, len(files)) for array in samples[part])
        for (name, _), chunk, chunk_labels in zip(files, images, labels, strict=True):
            batch = {"data": chunk.reshape(len(chunk), -1), key: chunk_labels.tolist()}
            (base / name).write_bytes(pickle.dumps(batch))
    names = {source.meta["key"]: [f"class {k}" for k in range(classes)]}
    (base / source.meta["filename"]).write_bytes(pickle.dumps(names))
    for attribute in ("train_list", "test_list"):
        checksums = [[name, md5(base / name)] for name, _ in getattr(source, attribute)]
        monkeypatch.setattr(source, attribute, checksums)
    monkeypatch.setattr(source, "meta", source.meta | {"md5": md5(base / source.meta["filename"])})


def publish_cifar(
    kind: type[CIFAR10], folder: Path, samples: Samples, classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes the same batches to one archive only."""
    write_cifar(kind, folder, samples, classes, monkeypatch)
    base = folder / kind.source.base_folder
    archive = folder / kind.source.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, arcname=base.name)
    for file in base.iterdir():
        file.unlink()
    base.rmdir()
    monkeypatch.setattr(kind.source, "tgz_md5", md5(archive))


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def contents(folder: Path) -> dict[Path, tuple[int, int]]:
    """Returns the modification time and the size of every file and folder."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def check_parts(data: TorchvisionImages, samples: Samples) -> None:
    """Compares the data set with the samples that were written."""
    images, labels = (torch.from_numpy(array) for array in samples["train"])
    held_out = TRAIN // 10
    train, val, test = (data.parts[part] for part in ("train", "val", "test"))
    assert (train.size, val.size) == (TRAIN - held_out, held_out)
    assert train.inputs.dtype == torch.uint8
    assert test.targets is not None
    assert torch.equal(test.inputs, torch.from_numpy(samples["test"][0]))
    assert torch.equal(test.targets, torch.from_numpy(samples["test"][1]).long())
    expected = {bytes(image.flatten().tolist()): int(k) for image, k in zip(images, labels, strict=True)}
    pairs = [(bytes(x.flatten().tolist()), int(k)) for part in (train, val) for x, k in zip(*part[:2], strict=True)]
    assert len(pairs) == TRAIN
    assert dict(pairs) == expected
    floats = train.inputs.double() / 255
    assert isinstance(data.spec.input, Image)
    assert data.spec.input.mean == pytest.approx(floats.mean((0, 2, 3)).tolist())
    assert data.spec.input.std == pytest.approx(floats.std((0, 2, 3), correction=0).tolist())
    assert (data.spec.input.channels, data.spec.input.height, data.spec.input.width) == tuple(images.shape[1:])
