"""Spoken digits: splits by takes and by speakers, and damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.recordings import spoken_digits, write_spoken_digits

from primer.data.audio.spoken_digits import SpokenDigits
from primer.errors import InputError


def speakers_of(data: SpokenDigits) -> dict[str, set[int]]:
    """Returns the speakers of each part, found by the samples."""
    arrays = spoken_digits()
    starts = [0, *arrays["lengths"].cumsum()[:-1]]
    speaker = {arrays["samples"][start:][:50].tobytes(): k for start, k in zip(starts, arrays["speaker"], strict=True)}
    return {
        part: {int(speaker[row[:50].numpy().tobytes()]) for row in batch.inputs}  # type: ignore[union-attr]
        for part, batch in data.parts.items()
    }


def test_official_split_is_by_take(tmp_path: Path) -> None:
    write_spoken_digits(tmp_path)
    data = SpokenDigits(data_dir=tmp_path).prepare()
    assert data.sizes() == {"train": 72, "val": 8, "test": 200}  # type: ignore[comparison-overlap]
    assert torch.bincount(data.parts["test"].targets).tolist() == [20] * 10  # type: ignore[union-attr]


def test_folds_of_the_official_split_keep_the_test_part(tmp_path: Path) -> None:
    write_spoken_digits(tmp_path)
    parts = [SpokenDigits(data_dir=tmp_path, folds=4, fold=fold).prepare().parts for fold in range(2)]
    assert torch.equal(parts[0]["test"].inputs, parts[1]["test"].inputs)  # type: ignore[union-attr]
    assert parts[0]["val"].size == 20
    assert not torch.equal(parts[0]["val"].inputs, parts[1]["val"].inputs)  # type: ignore[union-attr]


@pytest.mark.parametrize("fold", range(4))
def test_a_speaker_is_left_out(tmp_path: Path, fold: int) -> None:
    write_spoken_digits(tmp_path)
    found = speakers_of(SpokenDigits(data_dir=tmp_path, split="speaker", fold=fold).prepare())
    assert found == {"test": {fold}, "val": {(fold + 1) % 4}, "train": {(fold + 2) % 4, (fold + 3) % 4}}


def test_without_validation_all_other_speakers_are_for_training(tmp_path: Path) -> None:
    write_spoken_digits(tmp_path)
    found = speakers_of(SpokenDigits(data_dir=tmp_path, split="speaker", fold=2, val_fraction=0).prepare())
    assert found == {"test": {2}, "val": set(), "train": {0, 1, 3}}


def test_another_sample_rate(tmp_path: Path) -> None:
    write_spoken_digits(tmp_path)
    slow, fast = (SpokenDigits(data_dir=tmp_path, sample_rate=rate).prepare() for rate in (8000, 16000))
    assert torch.equal(slow.parts["test"].lengths * 2, fast.parts["test"].lengths)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "speaker", "fold": 4}, "data.fold=4 is none of the 4 speakers: 0 ann, 1 bob, 2 cid, 3 dan"),
        ({"split": "speaker", "folds": 4}, "set data.fold alone, without data.folds"),
        ({"split": "speaker", "val_fraction": 0.75}, "4 speakers are too few: one is for testing and 3 for validation"),
        ({"split": "take"}, "split must be one of official, speaker, not 'take'"),
        ({"path": "none.npz"}, "there is no file none.npz"),
        ({"mels": 0}, "mels must be greater than 0, not 0"),
        ({"features": "mfcc", "coefficients": 40}, "coefficients=40 must be at most mels=32"),
        ({"hop_ms": 64}, "hop_ms=64 must be at least one sample, and at most window_ms=32"),
    ],
)
def test_mistakes(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    write_spoken_digits(tmp_path)
    with pytest.raises(InputError) as caught:
        SpokenDigits(data_dir=tmp_path, **settings).prepare()
    assert message in str(caught.value)


def damage_compressed(file: Path) -> None:
    np.savez_compressed(file, **spoken_digits())
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes(40) + content[240:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-2000]), "is cut short, damaged or not an .npz file"),
        (lambda file: np.save(file.open("wb"), np.zeros(3)), "not an .npz file (it holds a single array)"),
        (damage_compressed, "is cut short, damaged or not an .npz file"),
        (lambda file: file.write_bytes(b"PK"), "is cut short, damaged or not an .npz file"),
        (lambda file: file.write_bytes(b""), "is cut short, damaged or not an .npz file"),
        (lambda file: write_spoken_digits(file.parents[1], take=None), "has no array 'take'"),
        (lambda file: write_spoken_digits(file.parents[1], take=np.zeros(5, int)), "'take' has 5 entries for 280"),
        (lambda file: write_spoken_digits(file.parents[1], samples=np.zeros(9)), "'samples' must be a list of int"),
        (lambda file: write_spoken_digits(file.parents[1], samples=np.zeros(9, np.int16)), "add up to "),
        (lambda file: write_spoken_digits(file.parents[1], lengths=np.zeros(280, int)), "recording 0 has no samples"),
        (lambda file: write_spoken_digits(file.parents[1], digit=np.full(280, 11)), "recording 0 has the digit 11"),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    file = write_spoken_digits(tmp_path)
    damage(file)
    with pytest.raises(InputError) as caught:
        SpokenDigits(data_dir=tmp_path).prepare()
    assert str(file) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
