"""Text data: parts, tokenizers and prompts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from primer.data.readers.tokenization import REPLACEMENT, Characters, Subwords, Tokenizer
from primer.data.text.text import PROMPT, Text, python_documentation
from primer.errors import InputError
from primer.spec import UNKNOWN, NextToken, Tokens

WORDS = "the cat sat on the mat.\n\n  the cat's <unk> hat, <pad>\tat 12:30 -- über-all\n" * 20


def text(content: str, folder: Path, **more: Any) -> Text:
    (folder / "some.txt").write_text(content, encoding="utf-8")
    return Text(path="some.txt", data_dir=folder, **more).prepare()


def parts(data: Text) -> dict[str, str]:
    assert data.tokenizer is not None
    return {part: data.tokenizer.decode(batch.inputs) for part, batch in data.parts.items()}  # type: ignore[union-attr]


def test_default_text_is_the_python_documentation() -> None:
    data = Text().prepare()
    assert "".join(parts(data).values()).startswith(python_documentation()[:300_000])
    assert sum(batch.size for batch in data.parts.values()) == len(python_documentation()) > 300_000
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.target == NextToken(data.spec.input.vocabulary)


def test_parts_are_consecutive_spans_of_the_text(tmp_path: Path) -> None:
    data = text(WORDS[:1000], tmp_path)
    assert parts(data) == {"train": WORDS[:700], "val": WORDS[700:800], "test": WORDS[800:1000]}
    data = text(WORDS[:1000], tmp_path, train_size=300)
    assert parts(data) == {"train": WORDS[:300], "val": WORDS[700:800], "test": WORDS[800:1000]}


def test_each_fold_is_a_span_that_is_tested_once(tmp_path: Path) -> None:
    folds = [parts(text(WORDS[:1003], tmp_path, folds=4, fold=fold)) for fold in range(4)]
    assert "".join(fold["test"] for fold in folds) == WORDS[:1003]
    for fold in folds:
        assert len(fold["train"] + fold["val"] + fold["test"]) == 1003
    assert folds[1]["train"] + folds[1]["val"] == WORDS[:250] + WORDS[501:1003]


def test_characters_that_are_not_in_the_training_part_are_unknown(tmp_path: Path) -> None:
    data = text("abcd" * 100 + "\u20ac\U0001f600b", tmp_path, test_fraction=0.01)
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.vocabulary == ("<pad>", "<unk>", "a", "b", "c", "d")
    assert data.parts["test"].inputs.tolist() == [5, UNKNOWN, UNKNOWN, 3]  # type: ignore[union-attr]
    assert parts(data)["test"] == "d" + REPLACEMENT * 2 + "b"


@given(st.text(min_size=1))
def test_decoding_characters_restores_the_text(sample: str) -> None:
    tokenizer = Characters(sample)
    assert tokenizer.decode(tokenizer.encode(sample)) == sample
    assert set(tokenizer.words) == set(sample)


@pytest.fixture(scope="module")
def subwords() -> Tokenizer:
    pytest.importorskip("tokenizers")
    return Subwords(WORDS, 80)


@settings(max_examples=200, deadline=None)
@given(sample=st.text(alphabet=sorted(set(WORDS))))
def test_decoding_subwords_restores_the_text(sample: str, subwords: Tokenizer) -> None:
    tokens = subwords.encode(sample)
    assert subwords.decode(tokens) == sample
    assert not (tokens == UNKNOWN).any()


def test_subwords_do_not_cross_word_boundaries(subwords: Tokenizer) -> None:
    assert 50 < len(subwords.words) + 2 <= 80
    assert all(word in WORDS for word in subwords.words)
    assert {" the", " cat"} <= set(subwords.words)
    assert not any(word.strip().count(" ") for word in subwords.words)  # No token spans two words.
    assert len(subwords.encode(WORDS)) < len(WORDS) / 2


def test_each_unknown_character_is_one_unknown_subword(subwords: Tokenizer) -> None:
    tokens = subwords.encode("the\u4e16\u754c cat")
    assert (tokens == UNKNOWN).sum() == 2
    assert subwords.decode(tokens) == f"the{REPLACEMENT * 2} cat"


def test_subwords_are_learned_from_the_training_part_only_and_are_deterministic(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    content = WORDS + "zebra zebra zebra " * 30
    data = text(content, tmp_path, level="subword", vocabulary_size=60, test_fraction=0.2)
    again = text(content, tmp_path, level="subword", vocabulary_size=60, test_fraction=0.2)
    assert data.spec == again.spec
    assert isinstance(data.spec.input, Tokens)
    assert not any("z" in word for word in data.spec.input.vocabulary)
    assert "".join(parts(data).values()) == content.replace("z", REPLACEMENT)


def test_line_endings_are_normalized(tmp_path: Path) -> None:
    (tmp_path / "dos.txt").write_bytes(b"\xef\xbb\xbfab\r\nc\x0cd\r\n" * 30)
    data = Text(path="dos.txt", data_dir=tmp_path).prepare()
    assert "".join(parts(data).values()).count("ab\nc\x0cd\n") == 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the file has no text"),
        (b" \n \n", "line 1: the file has no text"),
        (b"one\ntwo \xff\n", "line 2: byte 0xff is not UTF-8"),
        (b"a", "1 samples are too few"),
    ],
)
def test_invalid_text_files_are_reported_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        Text(path="some.txt", data_dir=tmp_path).prepare()
    assert "\n" not in str(caught.value)


def test_a_part_with_one_token_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has only one token"):
        text("abcdefghij", tmp_path)  # The validation part is a tenth of it.


def test_invalid_settings_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"there is no file none\.txt in .* data\.path names a text file"):
        Text(path="none.txt", data_dir=tmp_path).prepare()
    with pytest.raises(InputError, match="level must be one of character, subword, not 'word'"):
        Text(level="word")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="folds=99, but there are only 50 characters"):
        text(WORDS[:50], tmp_path, folds=99)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"requires the package tokenizers: install primer\[text\]"):
        text(WORDS, tmp_path, level="subword")


def test_a_vocabulary_smaller_than_the_alphabet_is_rejected() -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(
        InputError, match=r"vocabulary_size=5 is too small: the text has 4 different characters.* 6 entries"
    ):
        Subwords("abcd" * 9, 5)


def test_prompts_and_samples(tmp_path: Path) -> None:
    data = text(WORDS, tmp_path)
    assert data.tokenizer is not None
    assert data.tokenizer.decode(data.prompt()) == parts(data)["test"][:PROMPT]
    prompt = data.prompt("the cat")
    data.write_sample(torch.cat([prompt, data.tokenizer.encode(" sat")]), len(prompt), tmp_path / "samples")
    assert (tmp_path / "samples" / "sample.txt").read_text() == "the cat sat\n"


def test_bits_per_character_are_normalized_by_characters_rather_than_subwords(subwords: Tokenizer) -> None:
    from primer.data.text.token_stream import next_token_spec
    from primer.objectives.language import BitsPerCharacter

    tokens = subwords.encode(WORDS)[None]
    vocabulary = next_token_spec(subwords.words, "character").input.vocabulary  # type: ignore[union-attr]
    metric = BitsPerCharacter(vocabulary)
    for segment in tokens.split(13, dim=1):
        metric.update(segment, segment, outputs=torch.zeros(*segment.shape, len(vocabulary)))
    expected = tokens.shape[1] * torch.tensor(float(len(vocabulary))).log2() / len(WORDS)
    torch.testing.assert_close(metric.compute(), expected)


def test_the_test_part_does_not_overlap_the_training_part() -> None:
    """Topics of ``help()`` repeat paragraphs of other topics. The lines of their tables are layout, not text."""
    data = {name: re.sub(r"[\s|+=-]+", " ", part) for name, part in parts(Text().prepare()).items()}
    length, known = 200, data["train"] + data["val"]
    spans = {known[k : k + length] for k in range(len(known) - length)}
    assert not [k for k in range(len(data["test"]) - length) if data["test"][k : k + length] in spans]
