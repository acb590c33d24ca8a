"""Malformed files are reported in one line, with file name and line number, and no output is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def conllu_line(number: int, text: str, tag: str) -> str:
    return f"{number}\t{text}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n"


SENTENCES = "".join(conllu_line(1, f"w{k}", "NOUN") + conllu_line(2, "runs", "VERB") + "\n" for k in range(20))
"""60 lines of CoNLL-U."""
TEXTS = "text,label\n" + "a good film,pos\na bad film,neg\n" * 20
SERIES = "year,y\n" + "".join(f"{1900 + k},{k % 7}\n" for k in range(80))

CASES = {
    "a missing column": (("model=lstm", "data=conllu"), {"train": SENTENCES + "1\tw1\n"}, "line 61: 2 tab-sep"),
    "an unknown tag in test": (
        ("model=lstm", "data=conllu"),
        {"train": SENTENCES, "test": conllu_line(1, "w1", "NOUN") + conllu_line(2, "runs", "INTJ")},
        "line 2: the tag 'INTJ'",
    ),
    "an empty sentence": (
        ("model=lstm", "data=conllu"),
        {"train": SENTENCES + "# sent_id = 21\n\n" + SENTENCES},
        "line 62: the sentence has comments but no words",
    ),
    "a missing tag": (("model=lstm", "data=bio"), {"train": "EU B-ORG\nrejects\n"}, "line 2: 1 column"),
    "a label that is not in training": (
        ("model=lstm", "data=text_classification"),
        {"train": TEXTS, "test": "text,label\na film,pos\nso so,neutral\n"},
        "line 3: the label 'neutral'",
    ),
    "a gap": (
        ("model=lstm", "data=series", "data.target=y", "data.time=year"),
        {"path": SERIES.replace("1950,1\n", "")},
        "line 52: 1 steps are missing",
    ),
    "an empty cell": (
        ("model=lstm", "data=series", "data.target=y"),
        {"path": SERIES.replace("1950,1\n", "1950,\n")},
        "line 52: 'y' is missing",
    ),
    "bytes that are not UTF-8": (("model=lstm", "data=text"), {"path": b"good\nna\xefve\n"}, "line 2: byte 0xef"),
    "a pair without a target": (("model=seq2seq", "data=pairs"), {"path": "one\t1\ntwo\n"}, "line 2: "),
    "not JSON": (("model=lstm", "data=music"), {"path": '{"voices": ["a"],\n"train": [}\n'}, "line 2: malformed JSON"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_file_is_reported_in_one_line(
    case: str, run_in_process: Callable[..., object], tmp_path: Path
) -> None:
    overrides, files, message = CASES[case]
    settings = []
    for setting, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        file = tmp_path / (setting + (".csv" if b"," in raw else ".txt"))
        file.write_bytes(raw)
        settings.append(f"data.{setting}={file}")
        if setting == "train":
            settings += [f"data.{part}=null" for part in ("dev", "test") if part not in files]
    result = run_in_process("train.py", *overrides, *settings)
    assert result.status == 2
    (line,) = result.err.strip().splitlines()
    assert message in line
    assert str(tmp_path) in line
    assert not list((tmp_path / "logs").rglob("*.*"))
