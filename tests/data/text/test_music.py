"""Music data: encoding, malformed files, generated samples and MIDI export."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.data.readers.grids import REST, Piece
from primer.data.readers.midi import TICKS, midi
from primer.data.text.music import VOICES, Music, chorales, four_part_piece, quantize
from primer.errors import InputError
from primer.spec import UNKNOWN, NextToken, Tokens


def piece(first: int, steps: int = 20) -> dict[str, Any]:
    return {"title": f"from {first}", "steps": [[first + k % 3, first - 5, -1, first - 12] for k in range(steps)]}


def write(folder: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "pieces.json").write_text(text)
    return folder


def music(folder: Path, content: Any = None, **settings: Any) -> Music:
    if content is None:
        content = {"step": "sixteenth note", "voices": VOICES, "rest": -1, "train": [piece(60 + k) for k in range(10)]}
    settings = {"unique": False, **settings}  # Most pieces here differ only in their key.
    return Music(path="pieces.json", data_dir=write(folder, content), **settings).prepare()


def words(data: Music, part: Any) -> list[str]:
    assert isinstance(data.spec.input, Tokens)
    return [data.spec.input.vocabulary[k] for k in data.parts[part].inputs]  # type: ignore[union-attr]


def test_a_piece_is_a_start_token_and_the_voices_of_each_step(tmp_path: Path) -> None:
    split = {"train": [piece(60, 2), piece(62, 1)], "dev": [piece(60, 1)], "test": [piece(61, 2)]}
    data = music(tmp_path, {"voices": VOICES, "rest": -1, **split})
    assert isinstance(data.spec.input, Tokens)
    pitches = ("48", "50", "55", "57", "60", "61", "62")
    assert data.spec.input.vocabulary == ("<pad>", "<unk>", "<start>", "rest", *pitches)
    assert data.spec.target == NextToken(data.spec.input.vocabulary, "note")
    assert " ".join(words(data, "train")) == "<start> 60 55 rest 48 61 55 rest 48 <start> 62 57 rest 50"
    assert " ".join(words(data, "test")) == "<start> 61 <unk> rest <unk> 62 <unk> rest <unk>"
    assert data.decode(data.parts["val"].inputs) == [[60, 55, REST, 48]]  # type: ignore[union-attr]


def test_custom_rest_value(tmp_path: Path) -> None:
    data = music(tmp_path, {"voices": ["a", "b"], "rest": 0, "train": [{"steps": [[0, 40]] * 3}] * 5})
    assert set(words(data, "train")) == {"<start>", "rest", "40"}


def test_whole_pieces_are_held_out(tmp_path: Path) -> None:
    data = music(tmp_path)
    sizes = {part: sum(word == "<start>" for word in words(data, part)) for part in ("train", "val", "test")}
    assert sizes == {"train": 7, "val": 1, "test": 2}
    assert all(batch.size == sizes[part] * 81 for part, batch in data.parts.items())


def test_training_pieces_are_transposed(tmp_path: Path) -> None:
    plain, data = music(tmp_path), music(tmp_path, transpose=2)
    assert plain.parts["test"].size == data.parts["test"].size
    assert data.parts["train"].size == 5 * plain.parts["train"].size
    original, transposed = words(plain, "train"), words(data, "train")
    for shift, start in zip(range(-2, 3), range(0, len(transposed), len(original)), strict=True):
        copy = [str(int(word) + shift) if word.isdecimal() else word for word in original]
        assert transposed[start : start + len(original)] == copy


def test_duplicate_pieces_are_kept_in_one_part_only(tmp_path: Path) -> None:
    split = {
        "train": [piece(60, 2), piece(60, 3), piece(62, 2), piece(60, 4), piece(60, 6)],
        "dev": [piece(65, 3), piece(61, 5)],
        "test": [piece(66, 2), piece(60, 5)],
    }
    data = music(tmp_path, {"voices": VOICES, "rest": -1, **split}, unique=True)
    lengths = {part: [len(data.decode(batch.inputs))] for part, batch in data.parts.items()}  # type: ignore[union-attr]
    assert lengths == {"train": [10], "val": [3], "test": [7]}
    with pytest.raises(InputError, match="every training piece is also in another part"):
        music(tmp_path, {"voices": VOICES, "rest": -1, "train": [piece(60)], "test": [piece(61)]}, unique=True)


def test_transposition_stays_within_the_midi_range(tmp_path: Path) -> None:
    pieces = [{"steps": [[127]]}, {"steps": [[60]]}, {"steps": [[60]]}, {"steps": [[60]]}]
    content = {"voices": ["one"], "train": pieces, "dev": pieces, "test": pieces}
    tokens = words(music(tmp_path, content, transpose=1), "train")
    assert [tokens.count(pitch) for pitch in ("126", "127", "59", "60", "61")] == [1, 1, 3, 3, 3]


STEPS = [[60, 55, 52, 48]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"line 1: malformed JSON"),
        ('{\n"voices": 4,,\n}', r"line 2: malformed JSON"),
        ('{"rest": ' + 5000 * "1" + "}", "this JSON cannot be read: Exceeds the limit"),
        (100_000 * "[", "this JSON cannot be read: maximum recursion depth exceeded"),
        ([], "must be an object with a list of pieces under train"),
        ({"voices": VOICES, "train": []}, "must be an object with a list of pieces under train"),
        ({"train": [{"steps": STEPS}]}, "voices must be a list of names"),
        ({"voices": 4, "train": [{"steps": STEPS}]}, "voices must be a list of names.*not 4"),
        ({"voices": VOICES, "rest": "no", "train": [{"steps": STEPS}]}, "rest must be an integer, not 'no'"),
        ({"voices": VOICES, "train": [{"steps": STEPS}], "dev": 3}, "dev must be a list of pieces"),
        ({"voices": VOICES, "train": [{"steps": STEPS}, {}]}, "train, piece 2 must be an object with a title and"),
        ({"voices": VOICES, "train": [{"title": "x", "steps": []}]}, "train, piece 1 must be .* non-empty"),
        ({"voices": VOICES, "train": [{"title": "x", "steps": [*STEPS, [60, 55, 52]]}]},
         "train, piece 1 'x', step 2: 3 pitches, but the file has 4 voices"),
        ({"voices": VOICES, "train": [{"steps": STEPS}], "test": [{"title": "y", "steps": [7]}]},
         "test, piece 1 'y', step 1: 7, but the file has 4 voices"),
        ({"voices": VOICES, "train": [{"title": "x", "steps": [*STEPS, [60, 55, 52, 200]]}]},
         "train, piece 1 'x', step 2: 200 is neither a pitch from 0 to 127 nor -1, the rest"),
        ({"voices": VOICES, "train": [{"title": "x", "steps": [[60, 55, 52, None]]}]}, "step 1: None is neither"),
        ({"voices": VOICES, "train": [{"title": "x", "steps": [[60, True, 52, 60.5]]}]}, "step 1: True is neither"),
    ],
)  # fmt: skip
def test_malformed_files_are_reported_in_one_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        music(tmp_path, content)
    assert "pieces.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_invalid_settings_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file none\.json in .* data\.path names a JSON file of pieces"):
        Music(path="none.json", data_dir=tmp_path).prepare()
    with pytest.raises(InputError, match="transpose must be at least 0 semitones, not -1"):
        Music(transpose=-1)


def test_prompts(tmp_path: Path) -> None:
    data = music(tmp_path)
    assert len(data.decode(data.prompt())) == 16
    assert data.decode(data.prompt("60 rest 61 60  62 61 61 60")) == [[60, REST, 61, 60], [62, 61, 61, 60]]
    for word in ("C4", "20", "<unk>"):
        with pytest.raises(InputError, match=f"not '{word}'"):
            data.prompt(f"60 {word}")


def test_decoding_tolerates_invalid_sequences(tmp_path: Path) -> None:
    data = music(tmp_path)
    whole = data.prompt("60 61 62 60")
    tokens = torch.cat([whole, whole[:3], whole, torch.tensor([UNKNOWN]), whole[1:4], whole[1:2]])
    assert data.decode(tokens) == [[60, 61, 62, 60], [60, 61, 62, 60], [REST, 60, 61, 62]]


def read_midi(content: bytes) -> tuple[Any, list[list[int]]]:
    """Returns a MIDI file, and the pitch of each of its tracks at each sixteenth note."""
    mido = pytest.importorskip("mido")
    file = mido.MidiFile(file=io.BytesIO(content), charset="utf-8")
    tracks = []
    for track in file.tracks:
        pitches, pitch = [], REST
        for message in track:
            pitches += [pitch] * (message.time // TICKS)
            if message.type in ("note_on", "note_off"):
                pitch = message.note if message.type == "note_on" else REST
        tracks.append(pitches)
    return file, tracks


def test_midi_files_have_one_track_per_voice() -> None:
    steps = [[60, 55, REST, 48]] * 4 + [[62, REST, 52, 48]] * 3 + [[62, 55, REST, REST]] * 5
    file, tracks = read_midi(midi(steps, REST, VOICES))
    assert file.type == 1
    assert [track.name for track in file.tracks] == VOICES
    assert file.length == pytest.approx(12 * 0.75 / 4)
    assert tracks == [list(voice) for voice in zip(*steps, strict=True)]
    assert sum(message.type == "note_on" for message in file.tracks[3]) == 1  # A held pitch is one note.


def test_no_voice_uses_the_drum_channel() -> None:
    names = [f"Сопрано {k}" for k in range(20)]
    file, tracks = read_midi(midi([list(range(40, 60))] * 3, REST, names))
    assert [track.name for track in file.tracks] == names
    assert tracks == [[pitch] * 3 for pitch in range(40, 60)]
    assert 9 not in {message.channel for track in file.tracks for message in track if message.type == "note_on"}


def test_samples_are_written_as_json_and_midi(tmp_path: Path) -> None:
    data = music(tmp_path)
    prompt = data.prompt("60 61 62 60")
    data.write_sample(torch.cat([prompt, data.prompt("62 61 rest 60")[1:]]), len(prompt), tmp_path / "samples")
    content = json.loads((tmp_path / "samples" / "sample.json").read_text())
    assert content["prompt"] == 1
    assert content["steps"] == [[60, 61, 62, 60], [62, 61, REST, 60]]
    _, tracks = read_midi((tmp_path / "samples" / "sample.mid").read_bytes())
    assert tracks == [list(voice) for voice in zip(*content["steps"], strict=True)]


def test_missing_packages_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mido", None)
    data = music(tmp_path)
    with pytest.raises(InputError, match=r"requires the package mido: install primer\[music\]"):
        data.write_sample(data.prompt(), 5, tmp_path)
    assert (tmp_path / "sample.json").is_file()
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(InputError, match=r"requires data\.path, or the package music21: install primer\[music\]"):
        Music(data_dir=tmp_path / "empty").prepare()
    assert not (tmp_path / "empty").exists()


def test_chorales_are_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def few_chorales() -> Any:
        calls.append(True)
        yield from (Piece("x", [[60 + k, 55, REST, 48]] * 9) for k in range(5))

    monkeypatch.setattr("primer.data.text.music.chorales", few_chorales)
    first, again = (Music(data_dir=tmp_path).prepare() for _ in range(2))
    assert len(calls) == 1
    assert words(first, "train") == words(again, "train")
    assert first.voices == VOICES


def test_notes_of_any_length_are_quantized() -> None:
    music21 = pytest.importorskip("music21")
    # A quarter, a dotted eighth, a sixteenth, a rest, an eighth-note triplet, a half and a chord of two notes.
    stream = music21.converter.parse("tinyNotation: 4/4 c4 d8. e16 r4 trip{f8 g8 a8} B2")
    stream = stream.flatten()
    stream.append(music21.chord.Chord(["C4", "E4"], quarterLength=0.5))
    expected = [60] * 4 + [62] * 3 + [64] + [REST] * 4 + [65] * 2 + [67] + [69] + [59] * 8 + [64] * 2
    assert quantize(stream.notesAndRests) == expected


def test_chorales_of_the_corpus_match_the_file(data_dir_or_skip: Any) -> None:
    content = json.loads(data_dir_or_skip("music/chorales.json").read_text())
    corpus = pytest.importorskip("music21").corpus
    chorale = next(chorales())
    assert chorale.title == "Aus meines Herzens Grunde"
    assert chorale._asdict() in content["train"]
    assert list(four_part_piece(corpus.parse("bach/bwv41.6"))) == []  # It has nine parts.


def test_without_write_access_the_corpus_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can write to /proc, not even the superuser."""
    pieces = [Piece(str(k), [[60 + k, 55, 50, 45]] * 8) for k in range(10)]
    monkeypatch.setattr("primer.data.text.music.chorales", lambda: pieces)
    data = Music(data_dir="/proc/primer", val_fraction=0.1, unique=False).prepare()
    assert data.voices == VOICES
    assert data.parts["train"].size > 0
