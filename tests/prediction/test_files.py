"""Files of inputs, in which an error costs one input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primer.callbacks import PredictionFile
from primer.errors import InputError
from primer.prediction.files import read_chunks
from primer.records.table_writer import TableWriter
from primer.spec import Image, Tokens, Vector

VECTOR, TOKENS = Vector(2, ("a", "b")), Tokens(("<pad>", "<unk>"))

Result = tuple[list[Any], list[Any], dict[int, str]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Result]:
    """Returns a function that writes a file and reads it as locations, inputs and errors."""

    def write_and_read(
        name: str, content: str | bytes, kind: Any, *columns: str, size: int = 2, **settings: Any
    ) -> Result:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        locations, inputs, errors = [], [], {}
        for chunk in read_chunks(path, kind, list(columns), size, **settings):
            assert len(chunk.locations) <= size
            assert len(chunk.inputs) + len(chunk.errors) == len(chunk.locations)
            errors |= {len(locations) + k: error for k, error in chunk.errors.items()}
            locations += chunk.locations
            inputs += chunk.inputs
        return locations, inputs, errors

    return write_and_read


def test_rows_of_tables_are_read_one_by_one(read: Callable[..., Result]) -> None:
    text = b'\xef\xbb\xbfb;"a";c\r\n1; "x ""y"";\nz";3\r\n\r\n 4 ;5;\r\n6;7\r\n8;\xff;9\r\n'
    locations, inputs, errors = read("t.csv", text, VECTOR, "a", "b", delimiter=";")
    assert locations == [2, 5, 6, 7]
    assert inputs == [{"b": "1", "a": 'x "y";\nz', "c": "3"}, {"b": "4", "a": "5", "c": ""}]
    assert errors == {2: "2 cells, but the header names 3 columns", 3: "some bytes are not UTF-8"}


def test_an_open_quote_spoils_one_row(read: Callable[..., Result]) -> None:
    rows = [f'{k},"{k}\n{k}"' for k in range(300)]
    rows[10], rows[250], rows[260] = '10,"oops', '250,"oops', '260,5" pipe'
    locations, inputs, errors = read("t.csv", "\n".join(["a,b", *rows]), VECTOR, "a", "b")
    assert len(errors) == 2
    assert [locations[k] for k in errors] == [22, 501]
    assert [row["a"] for row in inputs] == [str(k) for k in range(300) if k not in (10, 250)]
    assert inputs[258]["b"] == '5" pipe'


def test_lines_to_skip_are_those_of_training(read: Callable[..., Result]) -> None:
    text = "a report\n\na,b\nkm,kg\n1,2\n"
    assert read("t.csv", text, VECTOR, "a", "b", skip_rows=[1, 4])[:2] == ([5], [{"a": "1", "b": "2"}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A,b\n1,2\n", r"line 1: there is no column 'a'; did you mean"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are named 'a'"),
        ('"a,b\n1,2\n', "line 1: a quote is not closed"),
    ],
)
def test_a_header_that_does_not_fit_rejects_the_file(read: Any, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("t.csv", content, VECTOR, "a", "b")


def test_json_lines_are_read_one_by_one(read: Callable[..., Result]) -> None:
    lines = ['{"text": "a"}', "{", "[1]", '{"label": 1}', '{"text": ["a"]}', '{"text": "b", "label": 2}']
    locations, inputs, errors = read("t.jsonl", "\n".join(lines), TOKENS, "text")
    assert locations == [1, 2, 3, 4, 5, 6]
    assert inputs == ["a", "b"]
    assert list(errors) == [1, 2, 3, 4]
    assert errors[1].startswith("malformed JSON")
    assert [errors[k] for k in (2, 3, 4)] == [
        "expected a JSON object",
        "there is no key 'text'",
        "'text' is neither a text nor a number",
    ]


def test_texts_are_lines_or_a_column(read: Callable[..., Result]) -> None:
    assert read("t.txt", "one\r\n\ntwo", TOKENS, "text") == ([1, 2, 3], ["one", "", "two"], {})
    assert read("t.tsv", "id\ttext\n1\tone two\n", TOKENS, "text") == ([2], ["one two"], {})


def test_sentences_do_not_need_tags(read: Callable[..., Result]) -> None:
    text = "# comment\n1-2\tdon't\n1\tdo\n2\tn't\t_\n\n\n1\n\n1\tgo\n"
    locations, inputs, errors = read("t.conllu", text, TOKENS, "text")
    assert (locations, inputs) == ([2, 7, 9], [["do", "n't"], ["go"]])
    assert errors == {1: "line 7: there is no word in column 2"}


def test_other_files_are_not_tables(read: Callable[..., Result]) -> None:
    with pytest.raises(InputError, match=r"a table must be a file \.csv, \.tsv"):
        read("t.xlsx", "", VECTOR, "a")


def test_images_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.jpg", "b/1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (chunk,) = read_chunks(tmp_path, Image(1, 2, 2), [], 9)
    assert chunk.locations == [str(tmp_path / name) for name in ("a.jpg", "b/1.png", "b/2.png")]


TYPES = {"line": int, "prediction": str, "score": float, "tags": list}
ROWS = [[1, 'a,"b"', 0.5, ["X", "Y"]], [2, None, None, None], [3, "ü\n", float("nan"), []]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_are_written_in_parts(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"new/out{suffix}"
    with TableWriter(path, TYPES) as table:
        table.write(ROWS[:2])
        assert not path.exists()
        table.write(ROWS[2:])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if suffix == ".csv":
        with path.open(newline="") as file:
            assert list(csv.reader(file)) == [
                list(TYPES), ["1", 'a,"b"', "0.5", "X Y"], ["2", "", "", ""], ["3", "ü\n", "nan", ""],
            ]  # fmt: skip
    elif suffix == ".jsonl":
        rows = [list(json.loads(line).values()) for line in path.read_text().splitlines()]
        assert rows == [*ROWS[:2], [3, "ü\n", None, []]]
    else:
        from pyarrow import parquet

        read = parquet.read_table(path).to_pydict()
        assert read["prediction"] == ['a,"b"', None, "ü\n"]
        assert read["tags"] == [["X", "Y"], None, []]


def test_a_failed_table_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")

    def write_and_interrupt() -> None:
        with TableWriter(path, TYPES) as table:
            table.write(ROWS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]
    with pytest.raises(InputError, match=r"valid: \.csv, \.jsonl, \.parquet"):
        TableWriter(tmp_path / "out.xlsx", TYPES)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="cannot be written"), TableWriter(path / "out.csv", TYPES):
        pass
    with pytest.raises(InputError, match=r"valid: \.csv, \.jsonl, \.parquet"):
        PredictionFile(tmp_path / "out.xlsx")


def test_parquet_requires_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"requires the package pyarrow: install primer\[predict\]"):
        PredictionFile(tmp_path / "out.parquet")
