"""WAV files of all encodings, and malformed ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from primer.data.readers.wav import read_wav
from primer.errors import InputError

SOUND = np.array([0.0, 0.5, -0.5, 0.25, -1.0, 0.75])


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(
    samples: bytes, encoding: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, extra: bytes = b""
) -> bytes:
    frame = channels * bits // 8
    header = struct.pack("<HHIIHH", encoding, channels, rate, rate * frame, frame, bits) + extra
    body = b"WAVE" + chunk(b"fmt ", header) + chunk(b"LIST", b"odd") + chunk(b"data", samples)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def in_blocks_of(size: int, content: bytes) -> bytes:
    """Changes the size of the samples of all channels in the header."""
    return content[:32] + struct.pack("<H", size) + content[34:]


def encoded(bits: int, encoding: int = 1) -> bytes:
    if encoding == 3:
        return SOUND.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return (SOUND * 128 + 128).astype(np.uint8).tobytes()
    whole = (SOUND * 2.0 ** (bits - 1)).astype("<i8")
    return b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in whole)


@pytest.mark.parametrize(("encoding", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_every_encoding(tmp_path: Path, encoding: int, bits: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(encoded(bits, encoding), encoding, bits=bits, rate=44100))
    samples, rate = read_wav(path)
    assert rate == 44100
    assert samples.tolist() == SOUND.tolist()


def test_extensible_header_and_stereo(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    extra = struct.pack("<HHIH", 22, 16, 3, 1) + bytes(14)
    path.write_bytes(wav(encoded(16), 0xFFFE, channels=2, extra=extra))
    assert read_wav(path)[0].tolist() == [0.25, -0.125, -0.125]


def test_only_the_start_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(encoded(16), rate=4))
    assert read_wav(path, longest=0.5)[0].tolist() == [0.0, 0.5]


def test_size_that_was_not_known_when_the_file_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = wav(encoded(16))
    start = content.index(b"data") + 4
    path.write_bytes(content[:start] + b"\xff" * 4 + content[start + 4 :])
    assert read_wav(path)[0].tolist() == SOUND.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty, so it is not a WAV file"),
        (b"some text of some length", "does not start with RIFF and WAVE, so it is not a WAV file"),
        (b"fLaC" + bytes(40), "FLAC cannot be read; convert it to WAV"),
        (b"OggS" + bytes(40), "Ogg cannot be read; convert it to WAV"),
        (wav(encoded(16))[:-4], "the file is cut short: byte 48 announces 12 bytes of 'data', but only 8 follow"),
        (wav(encoded(16))[:30], "cut short: byte 12 announces 16 bytes of 'fmt', but only 10 follow"),
        (wav(encoded(16))[:48], "the file has no samples: it ends at byte 48 without a chunk 'data'"),
        (wav(b""), "the file has no samples"),
        (wav(encoded(16), rate=0), "a sample rate of 0 Hz and 1 channels"),
        (wav(encoded(16), channels=0), "a sample rate of 8000 Hz and 0 channels"),
        (wav(encoded(16), encoding=7, bits=8), "samples of encoding 7 with 8 bits cannot be read: save it with 16-bit"),
        (wav(np.array([0, np.nan], "<f4").tobytes(), 3, bits=32), "sample 1 is not a finite number"),
        (wav(np.array([5, -12000], "<f4").tobytes(), 3, bits=32), "must be from -1 to 1, but the largest is 12000"),
        (in_blocks_of(4, wav(bytes(12), bits=24)), "24 bits in blocks of 4 bytes for 1 channels cannot be read"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", bytes(8)), "('fmt ') is missing before byte 12"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", bytes(8)), "('fmt ') has 8 bytes instead of at least 16"),
    ],
)  # fmt: skip
def test_malformed_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_wav(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b.wav cannot be read: No such file"):
        read_wav(tmp_path / "b.wav")
