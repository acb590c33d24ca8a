"""Valid and malformed CSV, TSV and JSON lines of texts with labels."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.data.text.text_classification import TextClassification, tokenize
from primer.errors import InputError
from primer.spec import PADDING, UNKNOWN, Classes, Tokens

CSV = 'text,id,label\n"Good, really good!",1,yes\nbad,2,no\n"two\nlines",3,no\n'
ROWS = [(("good", ",", "really", "good", "!"), "yes"), (("bad",), "no"), (("two", "lines"), "no")]
FILE = "train.csv"  # The default file name of the fixture write.


def texts(path: Path, **settings: Any) -> list[Any]:
    return TextClassification(train=str(path), **settings).read()["train"]  # type: ignore[return-value]


def many(labels: str, words: str = "ab") -> str:
    """Returns a CSV file with a text for each label."""
    return "text,label\n" + "".join(f"{words} {k},{label}\n" for k, label in enumerate(labels))


# Reading.


def test_words_and_punctuation_are_tokens() -> None:
    assert tokenize("Don't stop—it's o’clock_2!? 3.5% café 😀") == [
        "don't", "stop", "—", "it's", "o’clock_2", "!", "?", "3", ".", "5", "%", "café", "😀",
    ]  # fmt: skip
    assert tokenize("Don't", lowercase=False) == ["Don't"]
    assert tokenize("'quoted'") == ["'", "quoted", "'"]


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        (CSV, "a.csv", {}),
        (CSV.replace("\n", "\r\n"), "a.CSV", {}),
        ("\ufeff" + CSV, "a.csv", {}),
        (CSV, "a.csv", {"text": 1, "label": 3}),
        (CSV.replace("text,id,label\n", ""), "a.csv", {"text": 1, "label": 3, "header": False}),
        ("label\ttext\n yes\tGood, really good!\n\nno\tbad \nno\ttwo lines", "a.tsv", {}),
        (
            "yes\tGood, really good!\nno\tbad\nno\ttwo lines\n",
            "a",
            {"format": "tsv", "text": 2, "label": 1, "header": False},
        ),
        (
            '{"label": "yes", "text": "Good, really good!"}\n\n{"text": "bad", "label": "no"}\n'
            '{"text": "two\\nlines", "label": "no"}\n',
            "a.jsonl",
            {},
        ),
    ],
    ids=["csv", "CRLF", "byte order mark", "column numbers", "no header", "tsv", "tsv without a header", "jsonl"],
)  # fmt: skip
def test_each_format_is_read(write: Callable[..., Path], text: str, name: str, settings: dict[str, Any]) -> None:
    assert [(row.tokens, row.label) for row in texts(write(text, name), **settings)] == ROWS


def test_quotes_and_missing_value_markers_are_tokens(write: Callable[..., Path]) -> None:
    rows = texts(write('no\t"unfinished\nyes\tNA\nno\t?\n', "a.tsv"), header=False, label=1, text=2)
    assert [row.tokens for row in rows] == [('"', "unfinished"), ("na",), ("?",)]


def test_labels_may_be_numbers_or_booleans(write: Callable[..., Path]) -> None:
    lines = "".join(json.dumps({"x": f"text {k}", "y": y}) + "\n" for k, y in enumerate([1, 10, 2, -1] * 5))
    data = TextClassification(train=str(write(lines, "a.jsonl")), text="x", label="y").prepare()
    assert data.spec.target == Classes(("-1", "1", "2", "10"))
    lines = "".join(json.dumps({"text": f"text {k}", "label": k % 2 == 0}) + "\n" for k in range(20))
    assert TextClassification(train=str(write(lines, "a.jsonl"))).prepare().spec.target == Classes(("false", "true"))


def test_duplicate_texts_can_be_dropped(write: Callable[..., Path]) -> None:
    path = write("text,label\nGood!,a\nbad,b\ngood !,b\nbad,b\n")
    assert [row.label for row in texts(path)] == ["a", "b", "b", "b"]
    assert [row.label for row in texts(path, drop_duplicates=True)] == ["a", "b"]


# Encoding.


def test_texts_are_encoded_as_indices(write: Callable[..., Path]) -> None:
    write("text,label\nb b a,x\nb a c d,y\n")
    write("text,label\nd e b,y\n", "test.csv")
    write("text,label\na,x\n", "dev.csv")
    folder = write("", "unused").parent
    files = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv", "data_dir": folder}
    data = TextClassification(**files, min_count=2, max_length=3).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "b", "a"), tokenizer="words", lowercase=True, max_length=3)
    assert data.spec.target == Classes(("x", "y"))
    train, test = data.parts["train"], data.parts["test"]
    assert train.inputs.tolist() == [[2, 2, 3], [2, 3, UNKNOWN]]  # type: ignore[union-attr]
    assert train.targets.tolist() == [0, 1]  # type: ignore[union-attr]
    assert test.inputs.tolist() == [[UNKNOWN, UNKNOWN, 2]]  # type: ignore[union-attr]
    whole = TextClassification(**files).prepare().parts["train"]
    assert whole.inputs.tolist() == [[2, 2, 3, PADDING], [2, 3, 4, 5]]  # type: ignore[union-attr]
    assert whole.lengths.tolist() == [3, 4]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("labels", "train"), [("aab" * 100, [140, 70]), ("aab" * 99 + "xyz", [138, 69, 1, 1, 1])], ids=["plain", "rare"]
)
def test_held_out_parts_are_stratified_by_label(write: Callable[..., Path], labels: str, train: list[int]) -> None:
    for seed in range(3):
        data = TextClassification(train=str(write(many(labels))), split_seed=seed).prepare()
        counts = {part: batch.targets.bincount().tolist() for part, batch in data.parts.items()}  # type: ignore[union-attr]
        assert counts == {"train": train, "val": [20, 10], "test": [40, 20]}


# Invalid input.


@pytest.mark.parametrize(
    ("text", "name", "settings", "message"),
    [
        ("", "a.csv", {}, "line 1: the file has no rows"),
        ("text,label\n", "a.csv", {}, "line 1: the file has no rows"),
        (CSV, "a.csv", {"text": "review"}, "line 1: there is no column 'review'; the columns are text, id, label"),
        (CSV, "a.csv", {"label": 4}, "line 1: there is no column 4; the columns are text, id, label"),
        (CSV, "a.csv", {"header": False}, "line 1: there is no column 'text'; the columns are 1 to 3"),
        ("text,text,label\na,b,c\n", "a.csv", {}, "line 1: two columns are named 'text'"),
        (CSV + "alone\n", "a.csv", {}, "line 6: 1 columns, but line 1 has 3"),
        (CSV + " ,4,yes\n", "a.csv", {}, "line 6: the text is empty"),
        (CSV + "good,4,\n", "a.csv", {}, "line 6: the label is empty"),
        (CSV + '"open,4,yes\n', "a.csv", {}, "line 6: "),
        (CSV.encode() + b"caf\xe9,4,yes\n", "a.csv", {}, "line 6: byte 0xe9 is not UTF-8"),
        ("text\tlabel\na\tb\nc\n", "a.tsv", {}, "line 3: 1 columns, but line 1 has 2"),
        ("text\tlabel\na\tb\nc\td\te\n", "a.tsv", {}, "line 3: 3 columns, but line 1 has 2"),
        (b"text\tlabel\na\tb\n\xff\td\n", "a.tsv", {}, "line 3: byte 0xff is not UTF-8"),
        ("", "a.jsonl", {}, "line 1: the file has no JSON objects"),
        ('{"text": "a", "label": 1}\n{"text": "a"\n', "a.jsonl", {}, "line 2: malformed JSON: Expecting ',' delimiter"),
        ('\n["a", 1]\n', "a.jsonl", {}, "line 2: expected a JSON object"),
        ('{"text": "a"}\n', "a.jsonl", {}, "line 1: there is no key 'label'; the keys are text"),
        ('{"text": "a", "label": null}\n', "a.jsonl", {}, "line 1: 'label' is null; expected a string"),
        ('{"text": ["a"], "label": 1}\n', "a.jsonl", {}, """line 1: 'text' is ["a"]; expected a string"""),
        ('{"text": " ", "label": 1}\n', "a.jsonl", {}, "line 1: the text is empty"),
        (b'{"text": "\xe9", "label": 1}\n', "a.jsonl", {}, "line 1: byte 0xe9 is not UTF-8"),
        ('\n{"text": "a", "label": ' + 5000 * "1" + "}", "a.jsonl", {}, "line 2: malformed JSON: Exceeds the limit"),
        ("\n" + 100_000 * "[", "a.jsonl", {}, "line 2: malformed JSON: maximum recursion depth exceeded"),
        (CSV, "a.csv", {"text": 3}, "line 1: data.text=3 and data.label=label are the same column"),
    ],
)  # fmt: skip
def test_malformed_files_are_rejected_with_the_line(
    write: Callable[..., Path], text: str | bytes, name: str, settings: dict[str, Any], message: str
) -> None:
    path = write(text, name)
    with pytest.raises(InputError, match=re.escape(f"{path}, {message}")) as caught:
        texts(path, **settings)
    assert "\n" not in str(caught.value)


def test_unknown_formats_are_rejected(write: Callable[..., Path]) -> None:
    path = write(CSV, "reviews.doc")
    with pytest.raises(InputError, match=r"reviews.doc: .* set data.format to csv, tsv or jsonl"):
        texts(path)
    assert len(texts(path, format="csv")) == 3
    with pytest.raises(InputError, match="format must be one of auto, csv, tsv, jsonl, not 'xml'"):
        texts(path, format="xml")
    with pytest.raises(InputError, match=r"there is no file nowhere.csv in .*: data.train, data.dev"):
        texts(Path("nowhere.csv"))


@pytest.mark.parametrize("part", ["dev", "test"])
def test_unseen_labels_are_rejected(write: Callable[..., Path], part: str) -> None:
    train, other = write(many("ab" * 20)), write(many("abc"), f"{part}.csv")
    message = f"{other}, line 4: the label 'c' does not occur in the training part, so it cannot be learned: correct it"
    with pytest.raises(InputError, match=re.escape(message)):
        TextClassification(train=str(train), **{part: str(other)}).prepare()
    with pytest.raises(
        InputError, match=r"not occur in the 10 training samples \(data\.train_size\), .* increase data\.train_size$"
    ):
        TextClassification(train=str(train), **{part: str(other)}, train_size=10).prepare()


def test_lone_surrogates_are_rejected(write: Callable[..., Path]) -> None:
    path = write('{"text": "a", "label": "x\\ud83d"}\n', "train.jsonl")
    with pytest.raises(InputError, match=re.escape(f"{path}, line 1: 'label' has half of a surrogate pair")):
        texts(path)


@pytest.mark.parametrize(("text", "name"), [(CSV, "a.csv"), ('{"text": "a", "label": 1}\n', "a.jsonl")])
def test_text_and_label_must_be_different_columns(write: Callable[..., Path], text: str, name: str) -> None:
    with pytest.raises(InputError, match=r"data\.text and data\.label are both 'text': they must be different columns"):
        texts(write(text, name), label="text")


def test_a_single_label_is_rejected(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="all training texts have the label 'a'"):
        TextClassification(train=str(write(many("a" * 20)))).prepare()


@pytest.mark.parametrize("setting", ["min_count", "max_length"])
def test_numbers_less_than_one_are_rejected(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} must be at least 1, not 0"):
        TextClassification(train="a.csv", **{setting: 0})


# A real data set.


@pytest.mark.slow
def test_baseline_on_movie_reviews(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    folder = data_dir_or_skip("sentiment/train.csv").parents[1]
    files = {part: f"sentiment/{part}.csv" for part in ("train", "dev", "test")}
    parts = TextClassification(**files, data_dir=folder).read()
    assert [len(parts[part]) for part in ("train", "val", "test")] == [10201, 1275, 1276]  # type: ignore[arg-type]
    texts = {part: [" ".join(text.tokens) for text in records] for part, records in parts.items()}
    labels = {part: [text.label for text in records] for part, records in parts.items()}  # type: ignore[union-attr]
    majority = Counter(labels["test"]).most_common(1)[0][1] / len(labels["test"])

    def fitted(penalty: float) -> Any:
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=penalty, max_iter=1000))
        return model.fit(texts["train"], labels["train"])

    best = max(map(fitted, (1, 4, 10)), key=lambda model: model.score(texts["val"], labels["val"]))
    accuracy = best.score(texts["test"], labels["test"])
    record_figure(f"movie reviews: majority {majority:.4f}, TF-IDF and logistic regression {accuracy:.4f}")
    assert majority == pytest.approx(0.586, abs=1e-3)
    assert accuracy == pytest.approx(0.769, abs=3e-3)


def test_batches_match_their_lengths(write: Callable[..., Path]) -> None:
    data = TextClassification(train=str(write(many("ab" * 30))), batch_size=8).prepare()
    assert isinstance(data.spec.input, Tokens)
    batch = next(iter(data.train_dataloader()))
    assert batch.lengths is not None
    assert torch.equal((batch.inputs != PADDING).sum(1), batch.lengths)


def test_a_label_has_one_spelling(write: Callable[..., Path]) -> None:
    lines = "".join(f"text {k},{label}\n" for k, label in enumerate(["0", "1", "0.0", "1.0"] * 10))
    data = TextClassification(train=str(write("text,label\n" + lines))).prepare()
    assert data.spec.target == Classes(("0", "1"))


@pytest.mark.parametrize("label", ["nan", "None", "NULL", "#N/A"])
def test_missing_labels_are_rejected(write: Callable[..., Path], label: str) -> None:
    path = str(write("text,label\n" + "".join(f"text {k},{('a', label)[k % 2]}\n" for k in range(30))))
    with pytest.raises(InputError, match=f"line 3: the label '{label}' stands for a missing value; remove the row"):
        TextClassification(train=path).prepare()
    assert set(TextClassification(train=path, keep_default_na=False).prepare().spec.target.names) == {"a", label}  # type: ignore[union-attr]
