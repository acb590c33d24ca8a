"""Encodes videos: arrays, tensors, folders of frames, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.readers.videos import is_animation, is_video, list_videos, read_video
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.prediction.images import scale_pixels
from primer.spec import Video


def encode_videos(kind: Video, inputs: Any) -> Encoded:
    """Encodes videos as bytes, or as floats in [0, 1].

    Args:
        kind: the videos that the model expects.
        inputs: a video, or a folder or a list of videos, each a folder of images, an animated image or a video file; or
            an array of shape ``(videos, frames, channels, height, width)`` or of one video. Channels may come last, or
            be left out if there is only one.
    """
    paths = as_paths(inputs)
    if paths is None:
        batch = Batch(convert_array(kind, inputs))
        return Encoded(batch, batch.size)
    shape = kind.frames, kind.channels, kind.height, kind.width
    videos, errors = [], {}
    for k, path in enumerate(paths):
        try:
            videos.append(read_video(path, *shape))
        except InputError as error:
            errors[k] = str(error)
    stacked = np.stack(videos) if videos else np.empty((0, *shape), np.uint8)
    return Encoded(Batch(torch.from_numpy(stacked)), len(paths), errors)


def as_paths(inputs: Any) -> list[Path] | None:
    """Returns the videos that are named; None if the inputs are numbers."""
    if isinstance(inputs, str | Path):
        path = Path(inputs)
        if not path.exists():
            raise InputError(f"there is no file or folder {path}")
        videos = list_videos(path) if path.is_dir() else []
        # A folder of images is one video, even if their format can hold several frames.
        return videos if any(one.is_dir() or is_animation(one) for one in videos) else [path]
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(one, str | Path) for one in inputs):
        if missing := next((one for one in inputs if not (Path(one).is_dir() or is_video(Path(one)))), None):
            raise InputError(f"{missing} is neither a folder of frames nor a video")
        return [Path(one) for one in inputs]
    return None


def convert_array(kind: Video, values: Any) -> Tensor:
    """Converts an array to videos. Pixels are integers from 0 to ``kind.maximum``, or floats in [0, 1].

    Raises:
        InputError: if the array has another shape, or values out of range.
    """
    try:
        videos = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise InputError("videos must be an array, a tensor, or names of folders or files") from None
    frames, channels, height, width = kind.frames, kind.channels, kind.height, kind.width
    expected, last = (frames, channels, height, width), (frames, height, width, channels)
    bare = expected if channels > 1 else (frames, height, width)
    given = tuple(videos.shape)
    if given in (expected, last, bare):
        videos = videos.unsqueeze(0)
    if tuple(videos.shape[1:]) == last and last != expected:
        videos = videos.permute(0, 1, 4, 2, 3)
    elif tuple(videos.shape[1:]) == bare != expected:
        videos = videos.unsqueeze(2)
    elif tuple(videos.shape[1:]) != expected:
        raise InputError(
            f"videos have the shape {given}, but this model expects (videos, {', '.join(map(str, expected))}), or "
            "channels last; folders and files may have any size and more frames"
        )
    return scale_pixels(videos.contiguous(), kind.maximum)
