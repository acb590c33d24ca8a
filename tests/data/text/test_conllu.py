"""Valid and malformed CoNLL-U files, and the base class of tagging data sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.data.text.conllu import CoNLLU, read_conllu
from primer.data.text.tagging import UNSEEN, most_frequent_tag_accuracy
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import IGNORE, UNKNOWN, Tags, Tokens


def row(number: object, word: str, upos: str, xpos: str = "x") -> str:
    return f"{number}\t{word}\t_\t{upos}\t{xpos}\t_\t_\t_\t_\t_\n"


DOGS = row(1, "Dogs", "NOUN", "nns") + row(2, "run", "VERB", "vb") + row(3, ".", "PUNCT", ".") + "\n"
RUNS = row(1, "dogs", "NOUN", "nns") + row(2, "like", "VERB", "vb") + row(3, "runs", "NOUN", "nns") + "\n"
FILE = "train.conllu"  # The default file name of the fixture write.


@pytest.fixture
def build(write: Callable[..., Path], tmp_path: Path) -> Callable[..., CoNLLU]:
    """A function that builds a data set of three files with the given texts."""

    def make(train: str, dev: str = DOGS, test: str = DOGS, **settings: Any) -> CoNLLU:
        files = {name: write(text, name).name for name, text in (("train", train), ("dev", dev), ("test", test))}
        return CoNLLU(**files, data_dir=tmp_path, **settings)

    return make


def test_words_and_tags_are_read(write: Callable[..., Path]) -> None:
    text = (
        "# sent_id = 1\n# text = It isn't.\n"
        + row(1, "It", "PRON", "prp")
        + row("2-3", "isn't", "_", "_")
        + row(2, "is", "AUX", "vbz")
        + row(3, "n't", "PART", "rb")
        + row("3.1", "so", "_", "_")
        + row(4, "a b", "X", "fw")
        + "\n\n"
        + DOGS
    )
    first, second = read_conllu(write(text))
    assert first[:2] == (("It", "is", "n't", "a b"), ("PRON", "AUX", "PART", "X"))
    assert first.lines == (3, 5, 6, 8)
    assert second[:2] == (("Dogs", "run", "."), ("NOUN", "VERB", "PUNCT"))
    assert [sentence.tags for sentence in read_conllu(write(text), "xpos")] == [
        ("prp", "vbz", "rb", "fw"),
        ("nns", "vb", "."),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\n\n" + text.replace("\n\n", "\n \n\n"),
        lambda text: "# global.columns = ID FORM\n# newdoc\n" + text + "# the end\n# of it\n",
        lambda text: text + "\n# the end",
    ],
    ids=[
        "CRLF",
        "no final newline",
        "byte order mark",
        "more empty lines",
        "comments at both ends",
        "comment at the end",
    ],
)
def test_line_endings_and_blank_lines_do_not_matter(write: Callable[..., Path], change: Callable[[str], str]) -> None:
    plain = [sentence[:2] for sentence in read_conllu(write(DOGS + RUNS))]
    assert [sentence[:2] for sentence in read_conllu(write(change(DOGS + RUNS)))] == plain


def test_other_line_separators_are_part_of_words(write: Callable[..., Path]) -> None:
    (sentence,) = read_conllu(write(row(1, "a\u2028b\x85c\x0b", "X")))
    assert sentence.words == ("a\u2028b\x85c\x0b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file has no sentences"),
        ("# a comment alone\n", "line 1: the file has no sentences"),
        ("# a comment alone\n\n", "line 2: the sentence has comments but no words"),
        (DOGS + "# sent_id = 2\n# text =\n\n" + RUNS, "line 7: the sentence has comments but no words"),
        (DOGS + "\n\n# sent_id = 2\n \n", "line 8: the sentence has comments but no words"),
        (DOGS.rstrip() + "\n" + RUNS, "line 4: the id is 1, but 4 was expected; is an empty line missing?"),
        (DOGS + row(2, "and", "CCONJ"), "line 5: the id is 2, but 1 was expected"),
        (DOGS + row("1-2", "du", "_") + row(1, "de", "ADP") + row("1.1", "so", "_") + row(3, "le", "DET"),
            "line 8: the id is 3, but 2 was expected"),
        (DOGS + "1\tand\tso\n", "line 5: 3 tab-separated columns, but CoNLL-U has 10"),
        (DOGS + "1 and _ CCONJ _ _ _ _ _ _\n", "line 5: 1 tab-separated columns"),
        (DOGS + row("one", "and", "CCONJ"), "line 5: the id 'one' is not a number"),
        (DOGS + row("", "and", "CCONJ"), "line 5: the id '' is not a number"),
        (DOGS + row(1, "and", ""), "line 5: 'and' does not have a tag in column 4 (upos)"),
        (DOGS + row(1, "and", "_"), "line 5: 'and' does not have a tag in column 4"),
        (DOGS + row(1, "", "X"), "line 5: column 2, the word, is empty"),
        (DOGS.encode() + b"# caf\xe9\n" + DOGS.encode(), "line 5: byte 0xe9 is not UTF-8; save it as UTF-8"),
    ],
)  # fmt: skip
def test_malformed_files_are_rejected_with_the_line(
    write: Callable[..., Path], text: str | bytes, message: str
) -> None:
    path = write(text)
    with pytest.raises(InputError, match=re.escape(f"{path}, {message}")) as caught:
        read_conllu(path)
    assert "\n" not in str(caught.value)


def test_a_missing_tag_is_an_error_only_in_the_selected_column(write: Callable[..., Path]) -> None:
    path = write(row(1, "and", "CCONJ", "_"))
    assert read_conllu(path)[0].tags == ("CCONJ",)
    with pytest.raises(InputError, match="line 1: 'and' does not have a tag in column 5"):
        read_conllu(path, "xpos")


def test_files_are_looked_up_in_the_data_folder_and_then_in_the_current_folder(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current, data_dir = tmp_path / "current", tmp_path / "data"
    for folder in (current, data_dir):
        folder.mkdir()
    monkeypatch.chdir(current)
    (current / "a.conllu").write_text(DOGS * 10)
    (data_dir / "b.conllu").write_text(RUNS * 10)
    assert CoNLLU(train="a.conllu", data_dir=data_dir).prepare().spec.target == Tags(("NOUN", "PUNCT", "VERB"))
    assert CoNLLU(train="b.conllu", data_dir=data_dir).prepare().spec.target == Tags(("NOUN", "VERB"))
    (data_dir / "a.conllu").write_text(RUNS * 10)
    assert CoNLLU(train="a.conllu", data_dir=data_dir).prepare().spec.target == Tags(("NOUN", "VERB"))
    assert CoNLLU(train=str(current / "a.conllu"), data_dir=data_dir).prepare().spec.target != Tags(("NOUN", "VERB"))
    with pytest.raises(InputError, match=r"there is no file c.conllu in .*data or in .*current: data.train"):
        CoNLLU(train="c.conllu", data_dir=data_dir).prepare()
    with pytest.raises(InputError, match="there is no file"):
        CoNLLU(train="a.conllu", test="/nowhere/c.conllu", data_dir=data_dir).prepare()


def test_an_unknown_column_is_rejected() -> None:
    with pytest.raises(InputError, match="column must be one of upos, xpos, not 'lemma'"):
        CoNLLU(train="a.conllu", column="lemma")  # type: ignore[arg-type]


def test_words_that_are_not_in_the_training_part_are_unknown(build: Callable[..., CoNLLU]) -> None:
    data = build(DOGS * 2 + RUNS, test=RUNS).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", ".", "Dogs", "run", "dogs", "like", "runs"))
    assert data.spec.target == Tags(("NOUN", "PUNCT", "VERB"))
    assert data.parts["train"].inputs.tolist() == [[3, 4, 2], [3, 4, 2], [5, 6, 7]]
    assert data.parts["test"].targets is not None
    assert data.parts["test"].targets.tolist() == [[0, 2, 0]]
    rare = build(DOGS * 2 + RUNS, test=RUNS, min_count=2).prepare()
    assert rare.spec.input == Tokens(("<pad>", "<unk>", ".", "Dogs", "run"))
    assert rare.parts["test"].inputs.tolist() == [[UNKNOWN] * 3]
    lower = build(DOGS * 2, test=RUNS, lowercase=True).prepare()
    assert lower.spec.input == Tokens(("<pad>", "<unk>", ".", "dogs", "run"), lowercase=True)
    assert lower.parts["test"].inputs.tolist() == [[3, UNKNOWN, UNKNOWN]]


def test_shorter_sentences_are_padded(build: Callable[..., CoNLLU]) -> None:
    batch = build(row(1, "Run", "VERB") + row(2, ".", "PUNCT") + "\n" + DOGS).prepare().parts["train"]
    assert batch.lengths is not None
    assert batch.targets is not None
    assert batch.lengths.tolist() == [2, 3]
    assert batch.inputs[0, 2] == 0
    assert batch.targets[0].tolist() == [2, 1, IGNORE]


@pytest.mark.parametrize("part", ["dev", "test"])
def test_unseen_tags_are_rejected(build: Callable[..., CoNLLU], tmp_path: Path, part: str) -> None:
    text = DOGS + "# comment\n" + row(1, "Oh", "INTJ")
    with pytest.raises(InputError, match=rf"{tmp_path / part}, line 6: the tag 'INTJ' of 'Oh' does not occur"):
        build(DOGS * 2, **{part: text}).prepare()


def test_unseen_tags_can_count_as_mistakes(build: Callable[..., CoNLLU], quiet_trainer: Any) -> None:
    text = DOGS + row(1, "Oh", "INTJ")
    data = build(DOGS * 40, test=text, unseen_tags="wrong").prepare()
    assert isinstance(data.spec.target, Tags)
    assert data.spec.target.names == ("NOUN", "PUNCT", "VERB", UNSEEN)
    torch.manual_seed(0)
    model = LSTM(data.spec, hidden_size=16)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.02)
    trainer = quiet_trainer(max_epochs=20)
    trainer.fit(model, data)
    assert trainer.test(model, data, verbose=False)[0]["test/accuracy"] == pytest.approx(3 / 4)


def test_without_other_files_parts_of_the_training_file_are_held_out(write: Callable[..., Path]) -> None:
    path = write((DOGS + RUNS) * 50)
    sizes = {part: batch.size for part, batch in CoNLLU(train=str(path)).prepare().parts.items()}
    assert sizes == {"train": 70, "val": 10, "test": 20}
    none = CoNLLU(train=str(path), val_fraction=0).prepare()
    assert none.parts["val"].size == 0
    with pytest.raises(InputError, match="too few"):
        CoNLLU(train=str(write(DOGS))).prepare()


def test_treebank_files_are_found_next_to_the_training_file(tmp_path: Path) -> None:
    for part, text in (("train", DOGS * 40), ("dev", DOGS * 3), ("test", DOGS)):
        (tmp_path / f"en-ud-{part}.conllu").write_text(text)

    def sizes(**files: str | None) -> dict[str, int]:
        data = CoNLLU(data_dir=tmp_path, **{"dev": "auto", "test": "auto", **files}).prepare()  # type: ignore[arg-type]
        return {part: batch.size for part, batch in data.parts.items()}

    assert sizes(train="en-ud-train.conllu") == {"train": 40, "val": 3, "test": 1}
    assert sizes(train="en-ud-train.conllu", dev=None) == {"train": 36, "val": 4, "test": 1}
    # If there is no such file, files with other names are not used.
    (tmp_path / "mine.conllu").write_text(DOGS * 40)
    assert sizes(train="mine.conllu") == {"train": 28, "val": 4, "test": 8}
    (tmp_path / "en-ud-test.conllu").unlink()
    assert sizes(train="en-ud-train.conllu") == {"train": 32, "val": 3, "test": 8}


BROWN: dict[str, Any] = {
    "train": "pos/brown-train.conllu",
    "dev": "pos/brown-dev.conllu",
    "test": "pos/brown-test.conllu",
}


@pytest.fixture(scope="module")
def _cache() -> dict[str, CoNLLU]:
    return {}


@pytest.fixture
def brown(data_dir_or_skip: Callable[[str], Path], _cache: dict[str, CoNLLU]) -> CoNLLU:
    """The Brown corpus. It is read once."""
    folder = data_dir_or_skip(BROWN["train"]).parents[1]
    if not _cache:
        _cache["brown"] = CoNLLU(**BROWN, data_dir=folder, min_count=2, batch_size=32).prepare()
    return _cache["brown"]


def test_baseline_on_brown(
    brown: CoNLLU, data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    assert [brown.parts[part].size for part in ("train", "val", "test")] == [46175, 5523, 5642]
    assert [int((batch.targets != IGNORE).sum()) for batch in brown.parts.values()] == [929728, 115661, 115803]  # type: ignore[union-attr]
    full = CoNLLU(**BROWN, data_dir=brown.data_dir).prepare()
    accuracy = most_frequent_tag_accuracy(full.parts["train"], full.parts["test"])
    record_figure(f"Brown, most frequent tag per word: {accuracy:.4f}")
    assert accuracy == pytest.approx(0.926, abs=5e-4)


@pytest.mark.slow
def test_lstm_beats_the_baseline_on_brown(
    brown: CoNLLU, quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    torch.manual_seed(0)
    model = LSTM(brown.spec)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, brown)
    (result,) = trainer.test(model, brown, verbose=False)
    record_figure(f"Brown, LSTM after 2 epochs: {result['test/accuracy']:.4f}")
    assert result["test/accuracy"] > 0.926 + 0.01
