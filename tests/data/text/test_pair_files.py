"""Valid and malformed files of pairs."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.data.text.pair_files import PairFiles, read_pairs
from primer.errors import InputError
from primer.spec import IGNORE, UNKNOWN, Sequence, Tokens

PAIRS = "ab\txy\nb\ty\nab\tzy\n\nab\txy\nc d\tx y\tby hand\n"


def write(folder: Path, content: str | bytes, name: str = "pairs.tsv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", codecs.BOM_UTF8.decode()])
def test_equal_sources_are_merged(tmp_path: Path, newline: str, mark: str) -> None:
    path = write(tmp_path, mark + PAIRS.replace("\n", newline))
    assert read_pairs(path, "character") == [("ab", "xy", "zy"), ("b", "y"), ("c d", "x y")]
    words = [(("ab",), ("xy",), ("zy",)), (("b",), ("y",)), (("c", "d"), ("x", "y"))]
    assert read_pairs(path, "word") == words


def test_columns_are_selected_by_number(tmp_path: Path) -> None:
    path = write(tmp_path, 'to\tnote\tfrom\n "x"\t1\t null \n')
    assert read_pairs(path, "character", (3, 1)) == [("from", "to"), ("null", '"x"')]
    assert read_pairs(path, "character", (3, 1), header=True) == [("null", '"x"')]


def test_alternative_targets_follow_the_first(tmp_path: Path) -> None:
    lines = "".join(f"{chr(97 + k)}\tx\n" for k in range(10)) + "a\txx\na\txxx\n"
    data = PairFiles(path=str(write(tmp_path, lines)), test_fraction=0.1, val_fraction=0.0).prepare()
    assert data.parts["train"].size + data.parts["test"].size == 10
    assert data.spec.target == Sequence(("<pad>", "<unk>", "<start>", "<end>", "x"))
    ((rows, targets),) = [
        (part.targets[(part.targets == 4).sum(1) > 1].tolist(), part.targets)  # type: ignore[index,operator,union-attr]
        for part in data.parts.values()
        if part.size and (part.targets == 4).sum(1).max() > 1  # type: ignore[operator,union-attr]
    ]
    assert rows == [[4, 3, 4, 4, 3, 4, 4, 4, 3]]
    assert targets[1:, 2:].eq(IGNORE).all()


def test_training_batches_contain_only_the_first_targets(tmp_path: Path) -> None:
    lines = "".join(f"{k}\t{k}\n" for k in range(10, 40)) + "".join(f"{k}\t{k}000\n" for k in range(10, 40))
    data = PairFiles(path=str(write(tmp_path, lines)), batch_size=8, eval_batch_size=8).prepare()
    for batch in data.train_dataloader():
        assert batch.targets is not None
        assert batch.targets.shape[1] == 3
        assert (batch.targets[:, 2] == 3).all()
    for batch in (*data.test_dataloader(), *data.loader("train", train=False)):
        assert batch.targets is not None
        assert batch.targets.shape[1] == 3 + 6
        assert (batch.targets == 3).sum().item() == 2 * batch.size


def test_no_source_occurs_in_two_parts(tmp_path: Path) -> None:
    lines = "".join(f"{k % 50}\t{k}\n" for k in range(200))
    data = PairFiles(path=str(write(tmp_path, lines)), level="word").prepare()
    seen = [set(batch.inputs[:, 0].tolist()) for batch in data.parts.values()]  # type: ignore[union-attr]
    sizes = [batch.size for batch in data.parts.values()]
    assert sizes == [35, 5, 10]
    assert not seen[0] & (seen[1] | seen[2]) - {UNKNOWN}
    assert seen[1] | seen[2] == {UNKNOWN}


def test_separate_files_for_each_part(tmp_path: Path) -> None:
    write(tmp_path, "ab\txy\nb\ty\nc\tz\n", "train.tsv")
    write(tmp_path, "b\tyy\n", "dev.tsv")
    write(tmp_path, "abd\txw\nb\ty\nb\tx\n", "test.tsv")
    files = {"path": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    data = PairFiles(**files, data_dir=tmp_path).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "a", "b", "c"), tokenizer="characters")
    assert [data.parts[part].size for part in ("train", "val", "test")] == [3, 1, 2]
    test: Any = data.parts["test"]
    assert test.inputs.tolist() == [[2, 3, UNKNOWN], [3, 0, 0]]
    assert test.targets.tolist() == [[4, UNKNOWN, 3, IGNORE], [5, 3, 4, 3]]
    assert torch.equal(test.lengths, torch.tensor([3, 1]))


def test_words_spelled_like_special_tokens_are_unknown(tmp_path: Path) -> None:
    train = write(tmp_path, "a <pad> <end> <unk>\tx <end> y <pad>\nb\t<start> x\n")
    data = PairFiles(path=str(train), test=str(train), val_fraction=0.0, level="word").prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "<end>", "a", "b"), tokenizer="whitespace")
    assert data.spec.target == Sequence(("<pad>", "<unk>", "<start>", "<end>", "x", "y"), separator=" ")
    for batch in (data.parts["train"], data.parts["test"]):
        assert batch.inputs.tolist() == [[3, UNKNOWN, 2, UNKNOWN], [4, 0, 0, 0]]  # type: ignore[union-attr]
        assert batch.targets.tolist() == [[4, UNKNOWN, 5, UNKNOWN, 3], [UNKNOWN, 4, 3, IGNORE, IGNORE]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tx\nb\n", r"pairs.tsv, line 2: 1 tab-separated column, but data.source_column=1 and data.target_colum"),
        ("a\tx\n\n\tx\n", "pairs.tsv, line 3: the source is empty"),
        ("a\tx\n\nb\t \n", "pairs.tsv, line 3: the target is empty"),
        (b"a\tx\nb\t\xff\n", "pairs.tsv, line 2: byte 0xff is not UTF-8"),
        ("", "pairs.tsv, line 1: the file has no pairs"),
        ("\n\n", "pairs.tsv, line 1: the file has no pairs"),
    ],
)
def test_malformed_files_are_rejected_with_the_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairFiles(path=str(write(tmp_path, content))).prepare()


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file none.tsv in .*: data.path, data.dev and data.test name"):
        PairFiles(path="none.tsv", data_dir=tmp_path).prepare()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "byte"}, "level must be one of character, word, not 'byte'"),
        ({"source_column": 0}, "source_column=0, target_column=2: must be different and at least 1"),
        ({"source_column": 2}, "source_column=2, target_column=2: must be different and at least 1"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairFiles(path="pairs.tsv", **settings)
