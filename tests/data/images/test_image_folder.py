"""Image folders as a data set: parts, settings, in memory and streamed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.image_folders import Make, inputs, refusal, targets
from sklearn.datasets import load_digits
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints.resume import Resume
from primer.cli.checks import check_command
from primer.data.images import image_folder
from primer.data.images.image_folder import ImageFolder
from primer.data.loading.scaling import moments
from primer.data.loading.stream import ChunkDataset, Stream, StreamLoader
from primer.data.readers.decoding import decode
from primer.models.feedforward.mlp import MLP
from primer.regularization import Flip
from primer.spec import Classes, Image


@pytest.mark.parametrize("cache", [True, False])
def test_one_folder_per_class(build: Make, root: Path, cache: bool) -> None:
    data = build(cache=cache).prepare()
    assert isinstance(data.spec.input, Image)
    assert isinstance(data.spec.target, Classes)
    assert (data.spec.input.channels, data.spec.input.height, data.spec.input.width) == (3, 8, 8)
    assert data.spec.target.names == ("cat", "dog")
    assert {name: part.size for name, part in data.parts.items()} == {"train": 42, "val": 6, "test": 12}
    assert all(isinstance(part, Batch if cache else Stream) for part in data.parts.values())
    for part in ("train", "val", "test"):
        assert sum(targets(data, part)) * 3 == 2 * data.parts[part].size  # Stratified.
    pixels = {tuple(image.flatten().tolist()): k for part in data.parts for image, k in
              zip(inputs(data, part), targets(data, part), strict=True)}  # fmt: skip
    expected = {tuple(decode(file, 3, 8, 8).flatten().tolist()): int(file.parent.name == "dog")
              for file in root.rglob("*.png")}  # fmt: skip
    assert pixels == expected  # Every image is in exactly one part.
    mean, std = moments(inputs(data))
    assert data.spec.input.mean == pytest.approx(mean)
    assert data.spec.input.std == pytest.approx(std)


def test_height_and_width_may_differ(build: Make) -> None:
    data = build(size=[6, 9], channels=1).prepare()
    assert inputs(data).shape == (42, 1, 6, 9)
    assert isinstance(data.spec.input, Image)
    assert (data.spec.input.channels, data.spec.input.height, data.spec.input.width) == (1, 6, 9)
    mean, std = moments(inputs(data))
    assert data.spec.input.mean == pytest.approx(mean)
    assert data.spec.input.std == pytest.approx(std)


def test_mlp_learns_digits_from_files(tmp_path: Path, quiet_trainer: Callable[..., Any]) -> None:
    images, labels = load_digits(return_X_y=True)
    root = tmp_path / "digits"
    for k, (image, label) in enumerate(zip(images[:1000], labels[:1000], strict=True)):
        (root / str(label)).mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray((image.reshape(8, 8) * 15.9).astype(np.uint8)).save(root / str(label) / f"{k}.png")
    torch.manual_seed(0)
    data = ImageFolder(root, size=8, channels=1, batch_size=32, data_dir=tmp_path).prepare()
    model = MLP(data.spec)
    trainer = quiet_trainer(max_epochs=10)
    trainer.fit(model, datamodule=data)
    (metrics,) = trainer.test(model, datamodule=data, verbose=False)
    baseline = np.bincount(targets(data, "test")).max() / data.parts["test"].size
    assert metrics["test/accuracy"] > baseline + 0.7


# Settings.


@pytest.mark.parametrize(
    ("settings", "expected"),
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
def test_invalid_settings_are_rejected(build: Make, settings: dict[str, Any], expected: str) -> None:
    assert expected in refusal(lambda: build(**settings))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "data.path is required"),
        (["data.path=x", "data.size=big"], "data.size must be an integer or a list, not 'big'"),
        (["data.path=x", "data.size=[1,2,3]"], "data.size must be an integer or a list of 2, not [1, 2, 3]"),
        (["data.path=x", "data.channels=4"], "data.channels must be one of 1, 3, not 4"),
        (["data.path=x", "data.corrupt=skp"], "data.corrupt must be one of error, skip, not 'skp'"),
        (["data.path=x", "data.cache=yess"], "data.cache must be true or false or one of auto, not 'yess'"),
        (["data.path=x", "data.workers=all"], "data.workers must be an integer or null, not 'all'"),
        (["data.path=x", "model=seq2seq"], "model=seq2seq does not fit data=image_folder"),
    ],
)
def test_invalid_overrides_are_rejected(overrides: list[str], expected: str) -> None:
    assert expected in refusal(lambda: check_command("train", ["data=image_folder", *overrides]))


def test_valid_overrides_are_accepted() -> None:
    more = ["data.size=[32,48]", "data.channels=1", "data.corrupt=skip", "data.workers=2", "data.cache=false"]
    check_command("train", ["data=image_folder", "data.path=some/folder", *more])
    check_command("train", ["data=image_folder", "data.path=some/folder", "model=lenet"])


# In memory and streamed.


def test_images_are_cached_only_if_they_fit_in_memory(build: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 60 * 3 * 8 * 8
    monkeypatch.setattr(image_folder, "free_memory", lambda: 3 * needed)
    assert isinstance(build().prepare().parts["train"], Batch)
    monkeypatch.setattr(image_folder, "free_memory", lambda: 3 * needed - 1)
    assert isinstance(build().prepare().parts["train"], Stream)
    assert isinstance(build(cache=True).prepare().parts["train"], Batch)


def test_streams_can_be_pickled(build: Make) -> None:
    part = build(cache=False).prepare().parts["test"]
    assert isinstance(part, Stream)
    batch = pickle.loads(pickle.dumps(ChunkDataset(part)))[np.array([2, 0])]
    assert torch.equal(batch.inputs, part.select(slice(0, 3)).inputs[[2, 0]])


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_equal_cached_batches(build: Make, workers: int) -> None:
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
            for cached_batch, streamed_batch in zip(first, second, strict=True):
                assert torch.equal(cached_batch.inputs, streamed_batch.inputs)
                assert torch.equal(cached_batch.targets, streamed_batch.targets)  # type: ignore[arg-type]


def fitted(data: ImageFolder, quiet_trainer: Callable[..., Any], **settings: Any) -> tuple[Tensor, dict[str, float]]:
    torch.manual_seed(0)
    model = MLP(data.spec, hidden_sizes=(16,), dropout=0.5)
    trainer = quiet_trainer(**settings)
    trainer.fit(model, datamodule=data)
    (metrics,) = trainer.test(model, datamodule=data, verbose=False)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), metrics


def test_streamed_training_is_bitwise_equal_to_cached_training(build: Make, quiet_trainer: Callable[..., Any]) -> None:
    results = []
    for more in ({"cache": True}, {"cache": False}, {"cache": False, "workers": 2}):
        data = build(batch_size=8, augmentation=Flip(), **more).prepare()
        results.append(fitted(data, quiet_trainer, max_steps=2))
    (weights, metrics), *streamed_results = results
    assert metrics["test/loss"] > 0
    for other_weights, other_metrics in streamed_results:
        assert torch.equal(weights, other_weights)
        assert metrics == other_metrics


def test_resuming_a_streamed_run_within_an_epoch_matches_an_uninterrupted_run(
    build: Make, quiet_trainer: Callable[..., Any], tmp_path: Path
) -> None:
    from lightning.pytorch.callbacks import ModelCheckpoint

    def run(steps: int, resume: str | None = None) -> tuple[dict[str, Tensor], str]:
        torch.manual_seed(0)
        data = build(batch_size=8, augmentation=Flip(), cache=False, workers=1).prepare()  # Six batches per epoch.
        model = MLP(data.spec, hidden_sizes=(16,), dropout=0.5)
        checkpoint = ModelCheckpoint(dirpath=tmp_path / "kept", every_n_train_steps=1, save_top_k=-1, filename="{step}")
        trainer = quiet_trainer(max_steps=steps, enable_checkpointing=True, callbacks=[Resume(), checkpoint])
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
        assert trainer.global_step == steps
        return model.state_dict(), str(tmp_path / "kept" / f"step={steps}.ckpt")

    uninterrupted, _ = run(9)
    _, interrupted = run(4)
    resumed, _ = run(9, resume=interrupted)
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)
