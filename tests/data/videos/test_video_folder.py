"""Videos in folders: frames, animated images and video files."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from primer.batch import Batch
from primer.data.readers.videos import choose, list_frames, read_video
from primer.data.videos.video_folder import VideoFolder
from primer.errors import InputError
from primer.prediction.videos import as_paths
from primer.spec import Classes, Video


def frame(level: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def write_frames(folder: Path, levels: list[int]) -> None:
    folder.mkdir(parents=True)
    for k, level in enumerate(levels, start=1):
        frame(level).save(folder / f"{k}.png")


def write_animation(path: Path, levels: list[int]) -> None:
    frames = [frame(level) for level in levels]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)


def write_video(path: Path, levels: list[int]) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for level in levels:
            for packet in stream.encode(av.VideoFrame.from_image(frame(level, (32, 32)))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of five videos of twelve frames, which get brighter or darker."""
    up = list(range(0, 240, 20))
    for k in range(5):
        write_frames(tmp_path / "videos" / "brighter" / str(k), up)
        write_frames(tmp_path / "videos" / "darker" / str(k), up[::-1])
    return tmp_path / "videos"


def build(root: Path, **settings: Any) -> VideoFolder:
    return VideoFolder(**{"path": root, "frames": 4, "size": 8, "channels": 1, **settings}).prepare()


def test_folders_of_frames(root: Path) -> None:
    data = build(root, frames=12, test_fraction=0.4, val_fraction=0.2)
    assert isinstance(data.spec.input, Video)
    assert (data.spec.input.frames, data.spec.input.channels) == (12, 1)
    assert isinstance(data.spec.target, Classes)
    assert data.spec.target.names == ("brighter", "darker")
    assert data.sizes() == {"train": 4, "val": 2, "test": 4}
    for part in data.parts.values():
        assert isinstance(part, Batch)
        assert part.targets is not None
        for video, target in zip(part.inputs, part.targets.tolist(), strict=True):
            levels = video[:, 0, 0, 0].tolist()
            assert levels == list(range(0, 240, 20))[:: -1 if target else 1]  # 10.png is after 9.png.


def test_parts_in_folders_stay_as_they_are(root: Path, tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    for part in ("train", "test"):
        for k in range(2):
            for name in ("brighter", "darker"):
                write_frames(tmp_path / "split" / part / name / str(k), [0, 50, 100, 150])
    data = build(tmp_path / "split", val_fraction=0)
    assert data.sizes() == {"train": 4, "val": 0, "test": 4}


def test_frames_are_spread_evenly() -> None:
    assert choose(12, 4, Path()) == [0, 4, 7, 11]
    assert choose(3, 3, Path()) == [0, 1, 2]
    assert choose(5, 1, Path()) == [0]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng", "a.mp4", "a.avi"])
def test_files_are_read_as_folders_are(name: str, tmp_path: Path) -> None:
    levels = [0, 40, 80, 120, 160, 200]
    write = write_video if name.endswith(("mp4", "avi")) else write_animation
    write(tmp_path / name, levels)
    video = read_video(tmp_path / name, 3, 1, 8, 8)
    assert video.shape == (3, 1, 8, 8)
    assert video.dtype == np.uint8
    assert video.mean((1, 2, 3)) == pytest.approx([0, 80, 200], abs=8)


def test_the_order_of_frames_is_that_of_their_numbers(tmp_path: Path) -> None:
    write_frames(tmp_path / "some", [0] * 11)
    assert [path.stem for path in list_frames(tmp_path / "some")] == [str(k) for k in range(1, 12)]


def test_other_files_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "darker" / "notes.txt").write_text("a")
    (root / "brighter" / "broken.mp4").symlink_to(root / "nowhere.mp4")
    assert build(root).sizes() == {"train": 7, "val": 1, "test": 2}
    assert "2 files of" in (out := capsys.readouterr().out)
    assert "are not videos and left out (brighter/broken.mp4, darker/notes.txt)" in out


def test_a_video_belongs_to_one_class(root: Path) -> None:
    (root / "darker" / "same").symlink_to(root / "brighter" / "2")
    with pytest.raises(InputError, match=r"same is a link to the same file as .*brighter/2, in another class or part"):
        build(root)


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_a_folder_of_still_images_is_one_video(suffix: str, root: Path) -> None:
    video = root.parent / "video"
    video.mkdir()
    for k in range(6):
        frame(40 * k).save(video / f"{k}.{suffix}")
    assert as_paths(video) == [video]
    assert as_paths(root / "darker") == [root / "darker" / str(k) for k in range(5)]
    write_animation(video / f"6.{suffix}", [0, 200])
    assert as_paths(video) == [video / f"{k}.{suffix}" for k in range(7)]


def test_a_title_that_is_not_utf8(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_video(tmp_path / "plain.avi", [0, 200])
    with av.open(str(tmp_path / "plain.avi")) as plain, av.open(str(tmp_path / "titled.avi"), "w") as titled:
        titled.metadata["title"] = "CafeXXXX"
        stream = titled.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                titled.mux(packet)
    content = (tmp_path / "titled.avi").read_bytes()
    assert b"CafeXXXX" in content
    (tmp_path / "titled.avi").write_bytes(content.replace(b"CafeXXXX", b"Caf\xe9XXXX"))
    expected = read_video(tmp_path / "plain.avi", 2, 1, 8, 8)
    assert np.array_equal(read_video(tmp_path / "titled.avi", 2, 1, 8, 8), expected)


@pytest.mark.parametrize(("matrix", "quarters"), [((-1, 0, 0, -1), 2), ((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1)])
def test_a_video_is_turned_as_its_file_says(matrix: tuple[int, ...], quarters: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16], picture[:16, :16] = 100, 240
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for packet in (*stream.encode(av.VideoFrame.from_image(Image.fromarray(picture))), *stream.encode()):
            container.mux(packet)
    plain = read_video(path, 1, 1, 8, 8)[0, 0].astype(float)
    a, b, c, d = (65536 * part for part in matrix)
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    content = path.read_bytes()
    place = content.index(identity, content.index(b"tkhd"))
    path.write_bytes(content[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + content[place + 36 :])
    found = read_video(path, 1, 1, 8, 8)[0, 0].astype(float)
    # The matrix (0, 1, -1, 0) turns clockwise by 90 degrees, as that of an upright video of a phone.
    assert np.abs(found - np.rot90(plain, quarters)).max() < 20


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"a\.mp4: video files require the package av: install primer\[video\]"):
        read_video(tmp_path / "a.mp4", 2, 1, 8, 8)


def break_it(root: Path, kind: str) -> None:
    video = root / "darker" / "3"
    if kind == "few":
        for k in range(2, 13):
            (video / f"{k}.png").unlink()
    elif kind == "empty":
        for path in video.iterdir():
            path.unlink()
    elif kind == "damaged":
        (video / "12.png").write_bytes((video / "12.png").read_bytes()[:40])
    elif kind == "class":
        (root / "nothing").mkdir()
    elif kind == "file":
        (root / "darker" / "9.gif").write_bytes(b"GIF89a broken")
    elif kind == "video":
        pytest.importorskip("av")
        (root / "darker" / "9.mp4").write_bytes(b"not a video at all")
    elif kind == "one":
        (root / "darker").rename(root.parent / "elsewhere")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("few", "darker/3: the video has 1 frames, but data.frames=4"),
        ("empty", "darker/3: there are no frames"),
        ("damaged", "darker/3/12.png: the content is not an image"),
        ("class", "nothing: there are no videos in this folder of a class"),
        ("file", "darker/9.gif: "),
        ("video", "darker/9.mp4: the video cannot be decoded"),
        ("one", "only training videos of 'brighter'"),
    ],
)
def test_malformed_folders_are_one_line(kind: str, message: str, root: Path) -> None:
    break_it(root, kind)
    with pytest.raises(InputError, match=message) as error:
        build(root)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"size": 0}, "size must be a number of pixels"),
        ({"channels": 2}, "channels must be one of 1, 3"),
    ],
)
def test_invalid_settings_are_errors(settings: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(InputError, match=message):
        VideoFolder(root, **settings)


def test_predictions_from_folders_equal_those_from_arrays(root: Path) -> None:
    from primer.models.video.cnn_lstm import CNNLSTM
    from primer.prediction.predict import predict

    data = build(root)
    torch.manual_seed(0)
    model = CNNLSTM(data.spec, channels=[4], frame_size=8, hidden_size=8)
    video = read_video(root / "darker" / "1", 4, 1, 8, 8)
    expected = predict(model, video).probabilities
    assert expected is not None
    for form in (root / "darker" / "1", [root / "darker" / "1"], video[None], video[:, 0], video.transpose(0, 2, 3, 1),
                 video / 255):  # fmt: skip
        found = predict(model, form).probabilities
        assert found is not None
        assert torch.allclose(torch.as_tensor(found[:1]), torch.as_tensor(expected), atol=1e-5)
    assert len(predict(model, root / "darker").labels) == 5
    with pytest.raises(InputError, match=r"videos have the shape \(3, 1, 8, 8\), but this model expects"):
        predict(model, video[:3])
    with pytest.raises(InputError, match="is neither a folder of frames nor a video"):
        predict(model, ["missing"])
