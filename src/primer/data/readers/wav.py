"""Reads WAV files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from primer.errors import InputError

SUFFIXES = (".wav", ".wave")
OTHERS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3\x03": "MP3", b"ID3\x04": "MP3", b"FORM": "AIFF", b"RF64": "RF64"}
"""The first bytes of other formats."""
OTHER_SUFFIXES = (".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".wma", ".aif", ".aiff")
LOUDEST = 2
"""The maximum magnitude of samples that are floats. Above 1 they are clipped; larger ones have another scale."""
CONVERT = "convert it to WAV, for example with ffmpeg -i FILE OUTPUT.wav"
INTEGER, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""The encodings of samples that are read, and the code of those whose encoding follows in an extension."""
UNKNOWN_SIZE = 0xFFFFFFFF
"""The size that programs write that do not know it yet: the sound reaches to the end of the file."""


class Header(NamedTuple):
    """How the samples of a file are written."""

    encoding: int
    channels: int
    rate: int
    bits: int


def read_wav(path: str | Path, longest: float | None = None) -> tuple[Tensor, int]:
    """Reads a WAV file of 8, 16, 24 or 32-bit integers or 32 or 64-bit floats.

    Args:
        path: the file.
        longest: the number of seconds to read; None for all.

    Returns:
        The samples from -1 to 1, averaged over the channels, in double precision, and the sample rate in Hz.

    Raises:
        InputError: if the file cannot be read, is cut short, or is not a WAV file with sound; with the file and the
            place.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if content[:4] in OTHERS:
        raise InputError(f"{path}: {OTHERS[content[:4]]} cannot be read; {CONVERT}")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        what = "does not start with RIFF and WAVE" if content else "is empty"
        raise InputError(f"{path}: the file {what}, so it is not a WAV file")
    header, start, size = find_sound(path, content)
    frame = header.channels * header.bits // 8
    if longest is not None:
        size = min(size, max(1, round(longest * header.rate)) * frame)
    values = decode(content[start : start + size - size % frame], header)
    if not len(values):
        raise InputError(f"{path}: the file has no samples")
    if not np.isfinite(values).all():
        position = int(np.flatnonzero(~np.isfinite(values))[0]) // header.channels
        raise InputError(f"{path}: sample {position} is not a finite number")
    if header.encoding == FLOAT and (largest := np.abs(values).max()) > LOUDEST:
        raise InputError(f"{path}: samples that are floats must be from -1 to 1, but the largest is {largest:g}")
    return torch.from_numpy(values.reshape(-1, header.channels).mean(1)), header.rate


def find_sound(path: str | Path, content: bytes) -> tuple[Header, int, int]:
    """Returns how samples are written, the byte at which they start, and the number of their bytes."""
    position, header = 12, None
    while position + 8 <= len(content):
        name, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8], "little")
        start, left = position + 8, len(content) - position - 8
        if name == b"data" and size == UNKNOWN_SIZE:
            size = left
        if size > left:
            raise InputError(
                f"{path}: the file is cut short: byte {position} announces {size:,} bytes of "
                f"{name.decode('latin-1').strip()!r}, but only {left:,} follow"
            )
        if name == b"fmt ":
            header = parse_header(path, content[start : start + size])
        if name == b"data":
            if header is None:
                raise InputError(f"{path}: the format of the samples ('fmt ') is missing before byte {position}")
            return header, start, size
        position = start + size + size % 2  # Chunks start at even positions.
    raise InputError(f"{path}: the file has no samples: it ends at byte {len(content)} without a chunk 'data'")


def parse_header(path: str | Path, chunk: bytes) -> Header:
    """Returns the content of the chunk ``fmt``."""
    if len(chunk) < 16:
        raise InputError(f"{path}: the format of the samples ('fmt ') has {len(chunk)} bytes instead of at least 16")
    encoding, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if encoding == EXTENSIBLE and len(chunk) >= 26:
        encoding = int.from_bytes(chunk[24:26], "little")
    if rate == 0 or channels == 0:
        raise InputError(f"{path}: its header has a sample rate of {rate} Hz and {channels} channels")
    if (encoding, bits) not in {*((INTEGER, bits) for bits in (8, 16, 24, 32)), (FLOAT, 32), (FLOAT, 64)}:
        raise InputError(
            f"{path}: samples of encoding {encoding} with {bits} bits cannot be read: save it with 16-bit integers "
            "(PCM)"
        )
    if block > channels * bits // 8:
        raise InputError(
            f"{path}: samples of {bits} bits in blocks of {block} bytes for {channels} channels cannot be read: save "
            "it with 16-bit integers (PCM)"
        )
    return Header(encoding, channels, rate, bits)


def decode(content: bytes, header: Header) -> np.ndarray:
    """Converts the bytes of samples to numbers from -1 to 1, in double precision."""
    if header.encoding == FLOAT:
        return np.frombuffer(content, f"<f{header.bits // 8}").astype(np.float64)
    if header.bits == 8:  # The only one without a sign.
        return (np.frombuffer(content, np.uint8).astype(np.float64) - 128) / 128
    if header.bits == 24:
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0] / 2.0**31
    return np.frombuffer(content, f"<i{header.bits // 8}") / 2.0 ** (header.bits - 1)
