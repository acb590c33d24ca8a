"""Valid and malformed CoNLL-2003 files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.data.text.bio import BIO, read_bio
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import Tags

CONLL = (
    "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n"
    "Peter NNP B-NP B-PER\nBlackburn NNP I-NP I-PER\n\n"
)
SENTENCES = "Ann B-PER\nmet O\nBo B-PER\n\nThe O\nRed B-ORG\nCross I-ORG\nhelps O\n\n"
FILE = "train.txt"  # The default file name of the fixture write.


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", " \r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: "\ufeff\n" + text,
        lambda text: "".join(f"  {line.replace(' ', '   ')}\n" for line in text.splitlines() if "DOCSTART" not in line),
        lambda text: text.replace("\n\n\n", "\n-DOCSTART- -X- -X- O\n"),
    ],
    ids=["spaces", "tabs", "CRLF", "no final newline", "byte order mark", "more spaces", "no empty line"],
)
def test_words_and_tags_are_read(write: Callable[..., Path], change: Callable[[str], str]) -> None:
    first, second = read_bio(write(change(CONLL)))
    assert first[:2] == (("EU", "rejects"), ("B-ORG", "O"))
    assert second[:2] == (("Peter", "Blackburn"), ("B-PER", "I-PER"))


def test_tag_column(write: Callable[..., Path]) -> None:
    path = write(CONLL)
    assert read_bio(path, 3)[0].tags == read_bio(path, -2)[0].tags == ("B-NP", "B-VP")
    assert read_bio(path, 4) == read_bio(path, -1)
    assert read_bio(path)[0].lines == (3, 4)
    for column in (0, 1):
        with pytest.raises(InputError, match=f"column must be at least 2 .* not {column}"):
            BIO(train="a", column=column)


def test_words_may_contain_spaces_between_tabs_and_other_whitespace_anywhere(write: Callable[..., Path]) -> None:
    assert read_bio(write("New York\tB-LOC\n"))[0].words == ("New York",)
    assert read_bio(write("10\u00a0000 O\nNew\u2009York B-LOC\n"))[0].words == ("10\u00a0000", "New\u2009York")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", -1, "line 1: the file has no sentences"),
        ("-DOCSTART- O\n\n", -1, "line 1: the file has no sentences"),
        (SENTENCES + "alone\n", -1, "line 10: 1 columns, but line 1 has 2"),
        ("alone\n", -1, "line 1: 1 columns, but at least 2 are needed"),
        (CONLL + "Rare NNP I-PER\n", -1, "line 10: 3 columns, but line 3 has 4"),
        (SENTENCES, 3, "line 1: 2 columns, but at least 3 are needed"),
        (SENTENCES, -2, "line 1: 2 columns, but at least 3 are needed"),
        (SENTENCES + "\tO\n", -1, "line 10: the first column, the word, is empty"),
        (SENTENCES + "Ann PER\n", -1, "line 10: the tag 'PER' of 'Ann' must be O, or B- or I- and an entity type"),
        (SENTENCES + "Ann B-\n", -1, "line 10: the tag 'B-' of 'Ann' must be O"),
        (SENTENCES + "Ann\t\n", -1, "line 10: 1 columns, but line 1 has 2"),
        (SENTENCES.encode() + b"caf\xe9 O\n", -1, "line 10: byte 0xe9 is not UTF-8; save it as UTF-8"),
    ],
)
def test_malformed_files_are_rejected_with_the_line(
    write: Callable[..., Path], text: str | bytes, column: int, message: str
) -> None:
    path = write(text)
    with pytest.raises(InputError, match=re.escape(f"{path}, {message}")) as caught:
        read_bio(path, column)
    assert "\n" not in str(caught.value)


def test_unseen_tags_are_rejected(write: Callable[..., Path], tmp_path: Path) -> None:
    write(SENTENCES * 4)
    test = write(SENTENCES + "Rome B-LOC\n", "test.txt")
    settings: dict[str, Any] = {"train": "train.txt", "test": "test.txt", "data_dir": tmp_path}
    with pytest.raises(InputError, match=re.escape(f"{test}, line 10: the tag 'B-LOC' of 'Rome' does not occur")):
        BIO(**settings).prepare()
    assert BIO(**settings, unseen_tags="wrong").prepare().parts["test"].size == 3
    with pytest.raises(InputError, match=r"there is no file nowhere.txt in .*: data.train, data.dev and data.test"):
        BIO(train="nowhere.txt", data_dir=tmp_path).prepare()


def test_lstm_learns_entities(write: Callable[..., Path], quiet_trainer: Any) -> None:
    path = write(SENTENCES * 60)
    data = BIO(train=str(path), batch_size=16).prepare()
    assert data.spec.target == Tags(("B-ORG", "B-PER", "I-ORG", "O"))
    torch.manual_seed(0)
    model = LSTM(data.spec, hidden_size=8)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.03)
    trainer = quiet_trainer(max_epochs=3)
    trainer.fit(model, data)
    (result,) = trainer.test(model, data, verbose=False)
    assert result["test/entity_f1"] == result["test/entity_precision"] == result["test/entity_recall"] == 1
    assert "test/accuracy_unknown" not in result
