"""Texts with labels from CSV, TSV and JSON lines, good and bad."""

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
FILE = "train.csv"  # What write calls a file.


def texts(path: Path, **settings: Any) -> list[Any]:
    return TextClassification(train=str(path), **settings).read()["train"]  # type: ignore[return-value]


def many(labels: str, words: str = "ab") -> str:
    """A CSV file with a text for each label."""
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
    ids=["csv", "CRLF", "byte order mark", "places", "no header", "tsv", "tsv without a header", "jsonl"],
)  # fmt: skip
def test_each_format_is_read(write: Callable[..., Path], text: str, name: str, settings: dict[str, Any]) -> None:
    assert [(row.tokens, row.label) for row in texts(write(text, name), **settings)] == ROWS


def test_quotation_marks_and_what_may_mean_missing_are_words(write: Callable[..., Path]) -> None:
    rows = texts(write('no\t"unfinished\nyes\tNA\nno\t?\n', "a.tsv"), header=False, label=1, text=2)
    assert [row.tokens for row in rows] == [('"', "unfinished"), ("na",), ("?",)]


def test_labels_may_be_numbers_or_truth_values(write: Callable[..., Path]) -> None:
    lines = "".join(json.dumps({"x": f"text {k}", "y": y}) + "\n" for k, y in enumerate([1, 10, 2, -1] * 5))
    data = TextClassification(train=str(write(lines, "a.jsonl")), text="x", label="y").prepare()
    assert data.spec.target == Classes(("-1", "1", "2", "10"))
    lines = "".join(json.dumps({"text": f"text {k}", "label": k % 2 == 0}) + "\n" for k in range(20))
    assert TextClassification(train=str(write(lines, "a.jsonl"))).prepare().spec.target == Classes(("false", "true"))


def test_a_text_that_stands_there_several_times_may_be_kept_once(write: Callable[..., Path]) -> None:
    path = write("text,label\nGood!,a\nbad,b\ngood !,b\nbad,b\n")
    assert [row.label for row in texts(path)] == ["a", "b", "b", "b"]
    assert [row.label for row in texts(path, drop_duplicates=True)] == ["a", "b"]


# What becomes of it.


def test_texts_become_numbers(write: Callable[..., Path]) -> None:
    write("text,label\nb b a,x\nb a c d,y\n")
    write("text,label\nd e b,y\n", "test.csv")
    write("text,label\na,x\n", "dev.csv")
    folder = write("", "unused").parent
    files = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv", "data_dir": folder}
    data = TextClassification(**files, min_count=2, max_length=3).prepare()
    assert data.spec.input == Tokens(("<pad>", "<unk>", "b", "a"))
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
def test_what_is_held_out_has_the_same_share_of_each_label(
    write: Callable[..., Path], labels: str, train: list[int]
) -> None:
    for seed in range(3):
        data = TextClassification(train=str(write(many(labels))), split_seed=seed).prepare()
        shares = {part: some.targets.bincount().tolist() for part, some in data.parts.items()}  # type: ignore[union-attr]
        assert shares == {"train": train, "val": [20, 10], "test": [40, 20]}


# Mistakes.


@pytest.mark.parametrize(
    ("text", "name", "settings", "message"),
    [
        ("", "a.csv", {}, "line 1: there is no row with a text and a label"),
        ("text,label\n", "a.csv", {}, "line 1: there is no row with a text and a label"),
        (CSV, "a.csv", {"text": "review"}, "line 1: there is no column 'review'; there are text, id, label"),
        (CSV, "a.csv", {"label": 4}, "line 1: there is no column 4; there are text, id, label"),
        (CSV, "a.csv", {"header": False}, "line 1: there is no column 'text'; there are 1 to 3"),
        ("text,text,label\na,b,c\n", "a.csv", {}, "line 1: two columns are called 'text'"),
        (CSV + "alone\n", "a.csv", {}, "line 6: 1 columns, where line 1 has 3"),
        (CSV + " ,4,yes\n", "a.csv", {}, "line 6: the text is empty"),
        (CSV + "good,4,\n", "a.csv", {}, "line 6: the label is empty"),
        (CSV + '"open,4,yes\n', "a.csv", {}, "line 6: "),
        (CSV.encode() + b"caf\xe9,4,yes\n", "a.csv", {}, "line 6: byte 0xe9 is not UTF-8"),
        ("text\tlabel\na\tb\nc\n", "a.tsv", {}, "line 3: 1 columns, where line 1 has 2"),
        ("text\tlabel\na\tb\nc\td\te\n", "a.tsv", {}, "line 3: 3 columns, where line 1 has 2"),
        (b"text\tlabel\na\tb\n\xff\td\n", "a.tsv", {}, "line 3: byte 0xff is not UTF-8"),
        ("", "a.jsonl", {}, "line 1: there is no JSON object"),
        ('{"text": "a", "label": 1}\n{"text": "a"\n', "a.jsonl", {}, "line 2: malformed JSON: Expecting ',' delimiter"),
        ('\n["a", 1]\n', "a.jsonl", {}, "line 2: a JSON object was expected"),
        ('{"text": "a"}\n', "a.jsonl", {}, "line 1: there is no 'label'; there are text"),
        ('{"text": "a", "label": null}\n', "a.jsonl", {}, "line 1: 'label' is null, where a text was expected"),
        ('{"text": ["a"], "label": 1}\n', "a.jsonl", {}, """line 1: 'text' is ["a"], where a text was expected"""),
        ('{"text": " ", "label": 1}\n', "a.jsonl", {}, "line 1: the text is empty"),
        (b'{"text": "\xe9", "label": 1}\n', "a.jsonl", {}, "line 1: byte 0xe9 is not UTF-8"),
        ('\n{"text": "a", "label": ' + 5000 * "1" + "}", "a.jsonl", {}, "line 2: malformed JSON: Exceeds the limit"),
        ("\n" + 100_000 * "[", "a.jsonl", {}, "line 2: malformed JSON: maximum recursion depth exceeded"),
        (CSV, "a.csv", {"text": 3}, "line 1: data.text=3 and data.label=label are one column"),
    ],
)  # fmt: skip
def test_malformed_files_are_refused_with_their_line(
    write: Callable[..., Path], text: str | bytes, name: str, settings: dict[str, Any], message: str
) -> None:
    path = write(text, name)
    with pytest.raises(InputError, match=re.escape(f"{path}, {message}")) as caught:
        texts(path, **settings)
    assert "\n" not in str(caught.value)


def test_the_format_must_be_known(write: Callable[..., Path]) -> None:
    path = write(CSV, "reviews.doc")
    with pytest.raises(InputError, match=r"reviews.doc: .* set data.format=csv, tsv or jsonl"):
        texts(path)
    assert len(texts(path, format="csv")) == 3
    with pytest.raises(InputError, match="format must be one of auto, csv, tsv, jsonl, not 'xml'"):
        texts(path, format="xml")
    with pytest.raises(InputError, match=r"there is no file nowhere.csv in .*: data.train, data.dev"):
        texts(Path("nowhere.csv"))


@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_label_outside_of_the_training_part_is_refused(write: Callable[..., Path], part: str) -> None:
    train, other = write(many("ab" * 20)), write(many("abc"), f"{part}.csv")
    message = f"{other}, line 4: the label 'c' does not occur in the training part, so it cannot be learnt: correct it"
    with pytest.raises(InputError, match=re.escape(message)):
        TextClassification(train=str(train), **{part: str(other)}).prepare()
    with pytest.raises(InputError, match=r"not occur in the 10 samples of data\.train_size, .* take more of them$"):
        TextClassification(train=str(train), **{part: str(other)}, train_size=10).prepare()


def test_half_a_character_is_refused(write: Callable[..., Path]) -> None:
    path = write('{"text": "a", "label": "x\\ud83d"}\n', "train.jsonl")
    with pytest.raises(InputError, match=re.escape(f"{path}, line 1: 'label' holds half a character")):
        texts(path)


@pytest.mark.parametrize(("text", "name"), [(CSV, "a.csv"), ('{"text": "a", "label": 1}\n', "a.jsonl")])
def test_the_text_and_the_label_are_two_columns(write: Callable[..., Path], text: str, name: str) -> None:
    with pytest.raises(InputError, match=r"data\.text and data\.label are both 'text': must be two columns"):
        texts(write(text, name), label="text")


def test_one_label_alone_is_nothing_to_learn(write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="every text of the training part has the label 'a'"):
        TextClassification(train=str(write(many("a" * 20)))).prepare()


@pytest.mark.parametrize("setting", ["min_count", "max_length"])
def test_numbers_under_one_are_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} must be at least 1, not 0"):
        TextClassification(train="a.csv", **{setting: 0})


# A real file.


@pytest.mark.slow
def test_the_baseline_on_film_reviews(
    data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    folder = data_dir_or_skip("sentiment/train.csv").parents[1]
    files = {part: f"sentiment/{part}.csv" for part in ("train", "dev", "test")}
    parts = TextClassification(**files, data_dir=folder).read()
    assert [len(parts[part]) for part in ("train", "val", "test")] == [10201, 1275, 1276]  # type: ignore[arg-type]
    texts = {part: [" ".join(text.tokens) for text in some] for part, some in parts.items()}
    labels = {part: [text.label for text in some] for part, some in parts.items()}  # type: ignore[union-attr]
    majority = Counter(labels["test"]).most_common(1)[0][1] / len(labels["test"])

    def fitted(penalty: float) -> Any:
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=penalty, max_iter=1000))
        return model.fit(texts["train"], labels["train"])

    best = max(map(fitted, (1, 4, 10)), key=lambda model: model.score(texts["val"], labels["val"]))
    accuracy = best.score(texts["test"], labels["test"])
    record_figure(f"film reviews: majority {majority:.4f}, TF-IDF and logistic regression {accuracy:.4f}")
    assert majority == pytest.approx(0.586, abs=1e-3)
    assert accuracy == pytest.approx(0.769, abs=3e-3)


def test_batches_hold_what_was_read(write: Callable[..., Path]) -> None:
    data = TextClassification(train=str(write(many("ab" * 30))), batch_size=8).prepare()
    assert isinstance(data.spec.input, Tokens)
    batch = next(iter(data.train_dataloader()))
    assert batch.lengths is not None
    assert torch.equal((batch.inputs != PADDING).sum(1), batch.lengths)
