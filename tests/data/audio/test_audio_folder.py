"""Folders of WAV files: any rate, channels and length, splits, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.recordings import write_folder, write_wav

from primer.data.audio.audio_folder import AudioFolder
from primer.errors import InputError
from primer.prediction.recordings import encode_recordings
from primer.spec import Image


def test_rates_and_channels_become_one(tmp_path: Path) -> None:
    time = np.arange(22050) / 22050
    sound = 0.3 * np.sin(2 * np.pi * 440 * time)
    write_folder(tmp_path)
    write_wav(tmp_path / "low" / "z.wav", np.stack([sound, 0 * sound], 1), 22050)
    data = AudioFolder(tmp_path, sample_rate=8000, val_fraction=0, test_fraction=0.1)
    data.read()
    (row,) = [wave for wave in data.waveforms if len(wave) == 8000]
    expected = 0.15 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000) * 32768
    assert np.abs(row.numpy() - expected)[300:-300].max() < 20


def test_long_recordings_are_cut(tmp_path: Path) -> None:
    data = AudioFolder(write_folder(tmp_path), sample_rate=8000, max_seconds=0.15).prepare()
    assert max(int(batch.lengths.max()) for batch in data.parts.values()) == 1200  # type: ignore[union-attr]


def test_folders_of_parts_stay_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_folder(tmp_path / part, count=6 if part == "train" else 4)
    assert AudioFolder(tmp_path, val_fraction=0.25).prepare().sizes() == {"train": 9, "val": 3, "test": 8}  # type: ignore[comparison-overlap]


def test_speakers_in_names(tmp_path: Path) -> None:
    data = AudioFolder(write_folder(tmp_path), speaker="^([a-z]+)_", fold=3, sample_rate=8000).prepare()
    assert data.sizes() == {"train": 12, "val": 6, "test": 6}  # type: ignore[comparison-overlap]
    plain = AudioFolder(tmp_path, sample_rate=8000)
    plain.read()
    names = sorted((tmp_path / "high").iterdir())
    expected = [wave for k, wave in enumerate(plain.waveforms) if names[k % 12].name.startswith("dan_")]
    starts = [sorted(wave[:300].tolist() for wave in waves) for waves in (data.parts["test"].inputs, expected)]  # type: ignore[union-attr]
    assert starts[0] == starts[1]


def test_other_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path)
    (tmp_path / "low" / "notes.txt").write_text("a")
    AudioFolder(tmp_path).prepare()
    assert "1 files of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "settings", "message"),
    [
        (lambda root: (root / "low" / "a.flac").write_bytes(b"fLaC"), {}, "low/a.flac: FLAC cannot be read; convert"),
        (lambda root: (root / "mid").mkdir(), {}, "class folders without WAV files: {root}/mid; remove them"),
        (lambda root: (root / "low" / "ann_0.wav").write_bytes(b"RIFF"), {}, "low/ann_0.wav: the file does not start"),
        (lambda root: write_wav(root / "low" / "x.wav", np.zeros(0)), {}, "low/x.wav: the file has no samples"),
        (lambda root: None, {"speaker": "([0-9]"}, "data.speaker=([0-9] is not a regular expression"),
        (lambda root: None, {"speaker": "[a-z]+"}, "data.speaker=[a-z]+ must have a group"),
        (lambda root: None, {"speaker": "(x)_"}, "high/ann_0.wav: data.speaker=(x)_ finds no speaker in the name"),
        (lambda root: None, {"speaker": "^([a-z]+)_", "fold": 9}, "data.fold=9 is none of the 4 speakers: 0 ann"),
        (lambda root: write_wav(root / "mid" / "ann_0.wav", np.ones(900)), {"speaker": "^([a-z]+)_", "fold": 0},
         "no speaker of the training part has 'mid', but one of the test part does"),
        (lambda root: None, {"path": "nowhere"}, "there is no folder nowhere; data.path must be"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, damage: Callable[[Path], Any], settings: dict[str, Any], message: str) -> None:
    write_folder(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError) as caught:
        AudioFolder(**{"path": tmp_path, **settings}).prepare()
    assert message.format(root=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recordings_that_do_not_fit_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("primer.data.audio.recordings.free_memory", lambda: 20_000)
    with pytest.raises(InputError, match=r"recordings of up to 0\.\d+ seconds take .*: lower data\.max_seconds"):
        AudioFolder(write_folder(tmp_path)).prepare()


def test_recordings_of_other_formats_are_reported_by_predictions(tmp_path: Path) -> None:
    data = AudioFolder(write_folder(tmp_path), view="image").prepare()
    assert isinstance(data.spec.input, Image)
    (tmp_path / "low" / "x.flac").write_bytes(b"fLaC")
    (tmp_path / "low" / "notes.txt").write_text("a")
    encoded = encode_recordings(data.spec.input, tmp_path)
    assert encoded.size == 25
    assert [error.partition(": ")[2] for error in encoded.errors.values()] == [
        "FLAC cannot be read; convert it to WAV, for example with ffmpeg -i FILE OUTPUT.wav"
    ]


def test_silence_is_a_recording(tmp_path: Path) -> None:
    write_folder(tmp_path)
    write_wav(tmp_path / "low" / "silent.wav", np.zeros(1000))
    data = AudioFolder(tmp_path, view="image", batch_size=100, test_fraction=0.1).prepare()
    assert all(torch.isfinite(batch.inputs).all() for batch in data.train_dataloader())
