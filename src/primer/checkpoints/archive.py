"""The file of a checkpoint: a zip archive without compression, which ends with a checksum of everything before it.

PyTorch does not verify the checksums that a zip archive has for its members, and the archive has none for the rest.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path

from primer.errors import InputError

END = b"PK\x05\x06"
"""Signature of the last record of a zip archive, which has 22 bytes and the length of a comment in the last two."""

COMMENT = "primer crc32 {:08x}"
LENGTH = len(COMMENT.format(0))


def add_checksum(file: Path) -> None:
    """Adds the checksum to a file that ``torch.save`` has written, as the comment of the archive."""
    with file.open("r+b") as stream:
        stream.seek(-2, 2)
        stream.write(struct.pack("<H", LENGTH))
    checksum = compute_checksum(file, file.stat().st_size)
    with file.open("ab") as stream:
        stream.write(COMMENT.format(checksum).encode())


def check_archive(file: Path) -> None:
    """Checks that a file is undamaged, and that reading it does not take more memory than its size.

    A checkpoint that Lightning's own callback wrote does not have our checksum: then those of its members are checked.

    Raises:
        InputError: if it is damaged, or not an archive that ``torch.save`` writes.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(0, size - LENGTH - 22))
        tail = stream.read()
    has_checksum = re.fullmatch(rb"primer crc32 [0-9a-f]{8}", tail[-LENGTH:]) is not None
    if has_checksum:
        if tail[-LENGTH:].decode() != COMMENT.format(compute_checksum(file, size - LENGTH)):
            raise InputError(f"{file} is damaged: its content does not match its checksum")
    elif tail[-22:-18] != END or tail[-2:] != b"\0\0":
        raise InputError(f"{file} is not a checkpoint, or is damaged: it does not end like one")
    try:
        with zipfile.ZipFile(file) as archive:
            problem = find_problem(archive, size)
            if not problem and not has_checksum and (damaged := archive.testzip()):
                problem = f"the checksum of {damaged} does not match"
    except Exception as error:  # Each kind of damage raises a different exception.
        raise InputError(f"{file} is not a checkpoint, or is damaged: {' '.join(str(error).split())}") from error
    if problem:
        raise InputError(f"{file} is not a checkpoint, or is damaged: {problem}")


def find_problem(archive: zipfile.ZipFile, size: int) -> str | None:
    """Returns what distinguishes an archive from one that ``torch.save`` writes, if anything: compressed, duplicate or
    overlapping members."""
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        return "its members are compressed or encrypted"
    if sum(member.file_size for member in members) > size or any(m.file_size != m.compress_size for m in members):
        return "its members are larger than the file"
    if len({member.filename for member in members}) < len(members):
        return "two members have the same name"
    return None


def compute_checksum(file: Path, length: int) -> int:
    """Returns the CRC-32 of the first ``length`` bytes of a file."""
    checksum = 0
    with file.open("rb") as stream:
        while length > 0 and (block := stream.read(min(length, 1 << 20))):
            checksum = zlib.crc32(block, checksum)
            length -= len(block)
    return checksum
