"""Samples of language models: which files are written, what they depend on, and that they never stop a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.callbacks import Samples
from primer.cli.checks import check_command
from primer.data.images.digits import Digits
from primer.data.text.music import Music
from primer.data.text.text import PROMPT, Text
from primer.errors import InputError
from primer.models.feedforward.linear import Linear
from primer.models.recurrent.lstm import LSTM
from primer.run.training import train

TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 40
PIECES_OF_TWO = [{"steps": [[60, 48], [60 + k, 48]]} for k in range(10)]
PIECE = {"title": "x", "steps": [[64, 60, -1, 48 + k % 5] for k in range(40)]}


@pytest.fixture
def text(tmp_path: Path) -> Text:
    (tmp_path / "some.txt").write_text(TEXT)
    return Text(path="some.txt", data_dir=tmp_path).prepare()


def sampled(data: Any, folder: Path, trainer: Any, run_seed: int = 0, **settings: Any) -> list[str]:
    """Tests an untrained model and returns the names of the files."""
    torch.manual_seed(run_seed)
    model = LSTM(data.spec, embedding_size=4, hidden_size=8)
    torch.nn.init.normal_(model.head.weight)
    trainer(callbacks=[Samples(folder, **settings)]).test(model, data, verbose=False)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_text_is_continued(text: Text, tmp_path: Path, quiet_trainer: Any, capsys: Any) -> None:
    assert sampled(text, tmp_path / "a", quiet_trainer, length=30) == ["sample.txt"]
    content = (tmp_path / "a" / "sample.txt").read_text()
    assert content.startswith(TEXT[-len(TEXT) // 5 :][:PROMPT])
    assert len(content) == PROMPT + 30 + 1
    assert "warning" not in capsys.readouterr().out


def test_sample_depends_on_the_seed_and_the_settings(text: Text, tmp_path: Path, quiet_trainer: Any) -> None:
    def content(name: str, **settings: Any) -> str:
        sampled(text, tmp_path / name, quiet_trainer, **{"prompt": "the cat", "length": 40, **settings})
        return (tmp_path / name / "sample.txt").read_text()

    first = content("first")
    assert first.startswith("the cat")
    assert first == content("repeated") != content("other", run_seed=1)
    assert content("seeded", seed=1) == content("seeded again", seed=1) != first
    assert content("greedy", temperature=0.0) == content("one", top_k=1) == content("few", top_p=1e-6) != first


def test_music_is_continued(tmp_path: Path, quiet_trainer: Any) -> None:
    mido = pytest.importorskip("mido")
    voices = ["soprano", "alto", "tenor", "bass"]
    pieces = [{"title": str(k), "steps": [*PIECE["steps"], [60 + k] * 4]} for k in range(10)]  # type: ignore[misc]
    (tmp_path / "x.json").write_text(json.dumps({"voices": voices, "rest": -1, "train": pieces}))
    data = Music(path="x.json", data_dir=tmp_path).prepare()
    assert sampled(data, tmp_path / "a", quiet_trainer, length=80) == ["sample.json", "sample.mid"]
    steps = json.loads((tmp_path / "a" / "sample.json").read_text())["steps"]
    assert steps[:16] == PIECE["steps"][:16]  # type: ignore[index]
    assert len(steps) >= 16 + 10
    assert len(mido.MidiFile(tmp_path / "a" / "sample.mid").tracks) == 4


def test_no_sample_without_a_language_model_a_length_or_a_data_module(
    tmp_path: Path, text: Text, quiet_trainer: Any
) -> None:
    digits = Digits().prepare()
    folder = tmp_path / "none"
    quiet_trainer(callbacks=[Samples(folder)]).test(Linear(digits.spec), digits, verbose=False)
    assert sampled(text, folder, quiet_trainer, length=0) == []
    model = LSTM(text.spec, embedding_size=4, hidden_size=8)
    quiet_trainer(callbacks=[Samples(folder)]).test(model, text.test_dataloader(), verbose=False)  # No data module.
    assert not folder.exists()


def test_failing_sample_prints_a_warning(tmp_path: Path, text: Text, quiet_trainer: Any, capsys: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    sampled(text, tmp_path / "file" / "samples", quiet_trainer)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("warning: no sample was written to samples: NotADirectoryError")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": -1}, "samples.length must be at least 0, not -1"),
        ({"temperature": -1.0}, "samples.temperature must be at least 0"),
        ({"top_k": 0}, "samples.top_k must be at least 1"),
        ({"top_p": 2.0}, "samples.top_p must be above 0"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Samples("x", **settings)


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_prompt_with_unknown_symbols_is_rejected_at_the_start(
    stage: str, text: Text, tmp_path: Path, quiet_trainer: Any
) -> None:
    model = LSTM(text.spec, embedding_size=4, hidden_size=8)
    before = model.head.weight.clone()
    trainer = quiet_trainer(max_epochs=1, callbacks=[Samples(tmp_path, prompt="the Dog: a dog")])
    with pytest.raises(InputError, match=r"^samples\.prompt: the training part has no 'D', ':'$"):
        getattr(trainer, stage)(model, datamodule=text)
    assert torch.equal(model.head.weight, before)
    (tmp_path / "x.json").write_text(json.dumps({"voices": ["a", "b"], "train": PIECES_OF_TWO}))
    music = Music(path="x.json", data_dir=tmp_path).prepare()
    model = LSTM(music.spec, embedding_size=4, hidden_size=8)
    trainer = quiet_trainer(max_epochs=1, callbacks=[Samples(tmp_path, prompt="60 rest 99")])
    with pytest.raises(InputError, match=r"^samples\.prompt: a prompt is made of rest and the pitches .*, not '99'$"):
        getattr(trainer, stage)(model, datamodule=music)


def test_run_writes_a_sample(tmp_path: Path, text: Text, command: Any) -> None:
    overrides = ["model=lstm", "data=text", f"data.path={tmp_path}/some.txt", "callbacks.samples.prompt='the dog'"]
    check_command("train", [*overrides, "callbacks.samples.top_k=5"])
    with pytest.raises(InputError, match=r"callbacks\.samples\.top_k must be an integer or null, not 'few'"):
        check_command("train", [*overrides, "callbacks.samples.top_k=few"])
    metrics = train(command("train", "run", *overrides, "trainer.max_epochs=1", "accelerator=cpu"))
    assert metrics["test/perplexity"] > 1
    assert metrics["test/bits_per_character"] == pytest.approx(metrics["test/loss"] / 0.693147, rel=1e-4)
    assert (tmp_path / "run" / "samples" / "sample.txt").read_text().startswith("the dog")
