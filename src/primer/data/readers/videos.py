"""Finds and decodes videos: folders of images, animated images, and video files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from primer.data.readers.decoding import FORMATS, decode, describe_error, to_pixels
from primer.data.readers.folders import SUFFIXES, Found, check_owner, class_folders, list_folders, scan
from primer.errors import InputError

ANIMATED = (".gif", ".apng", ".webp")
"""The suffixes of images with several frames, which Pillow decodes."""

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""The suffixes of video files, which PyAV decodes."""


def find_videos(root: Path) -> Found:
    """Returns the videos of each part in alphabetical order: the path relative to the root folder, and the class; and
    other files.

    Raises:
        InputError: if the folder does not exist or has another layout, a class has no videos, or a link adds a video to
            a second class or part.
    """
    found = Found({}, [], [])
    owners: dict[str, tuple[Path, str]] = {}
    for part, folder in class_folders(root, "videos"):
        videos = list_videos(folder)
        others = {entry.name for entry in scan(str(folder))} - {path.name for path in videos}
        found.others.extend(str((folder / name).relative_to(root)) for name in sorted(others))
        if not videos:
            raise InputError(
                f"{folder}: there are no videos in this folder of a class: neither folders of images nor files such as "
                f"{', '.join([*VIDEOS[:3], *ANIMATED[:1]])}"
            )
        for path in videos:
            check_owner(owners, root, folder, str(path.relative_to(root)), os.path.realpath(path))
        found.files.setdefault(part, []).extend((str(path.relative_to(root)), folder.name) for path in videos)
    return found


def list_videos(folder: Path) -> list[Path]:
    """Returns the folders and the video files in a folder, in alphabetical order. Hidden ones are left out."""
    files = [folder / entry.name for entry in scan(str(folder)) if entry.is_file() and is_video(Path(entry.name))]
    return sorted([*files, *(folder / name for name in list_folders(folder))])


def is_video(path: Path) -> bool:
    """Whether a file has the suffix of a video."""
    return path.suffix.lower() in (*ANIMATED, *VIDEOS)


def is_animation(path: Path) -> bool:
    """Whether an image has several frames; also if it cannot be read, for which reading it as a video gives the
    reason."""
    if path.suffix.lower() not in ANIMATED:
        return True
    try:
        with Image.open(path, formats=FORMATS) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:
        return True


def read_video(path: Path, frames: int, channels: int, height: int, width: int) -> np.ndarray:
    """Returns frames spread evenly over a video, from the first to the last one, as bytes of shape ``(frames, channels,
    height, width)``. Each is converted as an image, see ``decoding.decode``.

    Raises:
        InputError: if the video has fewer frames, or cannot be decoded.
    """
    shape = channels, height, width
    if path.is_dir():
        files = list_frames(path)
        return np.stack([decode(files[k], *shape) for k in choose(len(files), frames, path)])
    reader = read_animation if path.suffix.lower() in ANIMATED else decode_file
    count = sum(1 for _ in reader(path))
    wanted = set(choose(count, frames, path))
    return np.stack([to_pixels(image, *shape) for k, image in enumerate(reader(path)) if k in wanted])


def list_frames(folder: Path) -> list[Path]:
    """Returns the images in a folder, in order of the numbers in their names: ``2.png`` is before ``10.png``.

    Raises:
        InputError: if there are none.
    """
    names = [entry.name for entry in scan(str(folder)) if Path(entry.name).suffix.lower() in SUFFIXES]
    if not names:
        raise InputError(f"{folder}: there are no frames (.png, .jpg, .webp etc.) in this folder of a video")
    return [folder / name for name in sorted(names, key=natural)]


def natural(name: str) -> list[Any]:
    """Sort key by which numbers in a name are compared as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def choose(count: int, frames: int, path: Path) -> list[int]:
    """Returns the frames to read of ``count``, spread evenly.

    Raises:
        InputError: if there are too few.
    """
    if count < frames:
        raise InputError(f"{path}: the video has {count} frames, but data.frames={frames}")
    return np.linspace(0, count - 1, frames).round().astype(int).tolist()


def read_animation(path: Path) -> Iterator[Image.Image]:
    """Yields the frames of an animated image."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            for k in range(getattr(image, "n_frames", 1)):
                image.seek(k)
                yield image.convert("RGBA" if image.has_transparency_data else "RGB")
    except Exception as error:  # Pillow raises a different type for each kind of damage.
        raise InputError(f"{path}: {describe_error(path, error)}") from error


def decode_file(path: Path) -> Iterator[Image.Image]:
    """Yields the frames of a video file.

    Raises:
        InputError: if PyAV is not installed, or the file is damaged or has no video.
    """
    try:
        import av
        import av.error
    except ImportError:
        raise InputError(f"{path}: video files require the package av: install primer[video]") from None
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise InputError(f"{path}: the file has no video")
            for frame in container.decode(video=0):
                # Phones record upright videos sideways, with the angle to turn them by.
                yield frame.to_image().rotate(frame.rotation, expand=True) if frame.rotation else frame.to_image()
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: the video cannot be decoded ({error.strerror})") from error
