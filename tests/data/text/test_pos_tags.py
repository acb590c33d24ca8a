"""Synthetic tagged sentences, and the context-free baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.config.paths import ROOT
from primer.data.text.pos_tags import GRAMMAR, LEXICON, PosTags
from primer.data.text.tagging import Sentence, most_frequent_tag_accuracy
from primer.errors import InputError
from primer.models.recurrent.lstm import LSTM
from primer.spec import IGNORE, PADDING, Spec, Tags, Tokens

UNIVERSAL = {
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
}  # fmt: skip


def read(**settings: Any) -> list[Sentence]:
    sentences = PosTags(**settings).read()["train"]
    assert isinstance(sentences, list)
    return sentences


@pytest.fixture(scope="module")
def data() -> PosTags:
    return PosTags().prepare()


def test_every_grammar_symbol_is_defined_and_used() -> None:
    used = {"sentence"}
    for rules in GRAMMAR.values():
        for rule in rules:
            weight, *items = rule.split()
            assert int(weight) > 0
            assert items
            used |= {item for item in items if "/" not in item}
    assert used == GRAMMAR.keys() | LEXICON.keys()


def test_tags_are_universal_dependencies_tags(data: PosTags) -> None:
    assert isinstance(data.spec.target, Tags)
    assert len(data.spec.target.names) >= 10
    assert set(data.spec.target.names) <= UNIVERSAL


def test_sentences_are_unique_and_determined_by_the_seed() -> None:
    sentences = read(sentences=800)
    assert len({sentence.words for sentence in sentences}) == 800
    assert read(sentences=800) == sentences
    assert read(sentences=800, data_seed=1) != sentences


def test_parts_are_disjoint(data: PosTags) -> None:
    rows = {part: set(map(tuple, _words(data.spec, batch))) for part, batch in data.parts.items()}
    assert [len(rows[part]) for part in ("train", "val", "test")] == [3500, 500, 1000]
    assert len(rows["train"] | rows["val"] | rows["test"]) == 5000


def test_padding_follows_the_last_word_and_has_no_tags(data: PosTags) -> None:
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.vocabulary[:2] == ("<pad>", "<unk>")
    for batch in data.parts.values():
        assert batch.lengths is not None
        padding = torch.arange(batch.inputs.shape[1]) >= batch.lengths[:, None]
        assert torch.equal(batch.inputs == PADDING, padding)
        assert torch.equal(batch.targets == IGNORE, padding)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_most_words_are_ambiguous(seed: int, record_figure: Callable[[str], None]) -> None:
    data = PosTags(data_seed=seed).prepare()
    accuracy = most_frequent_tag_accuracy(data.parts["train"], data.parts["test"])
    sentences = read(data_seed=seed)
    tags = defaultdict(set)
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            tags[word].add(tag)
    words = [word for sentence in sentences for word in sentence.words]
    ambiguous = sum(len(tags[word]) > 1 for word in words) / len(words)
    record_figure(
        f"pos_tags, data_seed={seed}: most frequent tag per word: {accuracy:.4f}; ambiguous words: {ambiguous:.4f}"
    )
    assert 0.5 < accuracy <= 0.85
    assert ambiguous > 0.5
    assert len(tags["light"]) >= 3
    assert tags["that"] == {"DET", "PRON", "ADV", "SCONJ"}


def test_baseline_matches_counting_by_hand() -> None:
    train = Batch(torch.tensor([[2, 2, 3], [2, 4, 0]]), torch.tensor([[0, 1, 2], [1, 2, IGNORE]]))
    test = Batch(torch.tensor([[2, 3, 4, 9], [2, 9, 0, 0]]), torch.tensor([[1, 2, 0, 1], [0, 2, IGNORE, IGNORE]]))
    # Word 2 most often has tag 1, words 3 and 4 have tag 2. Word 9 is unknown: the first most frequent tag is 1.
    assert most_frequent_tag_accuracy(train, test) == pytest.approx(3 / 6)
    assert most_frequent_tag_accuracy(train, train) == pytest.approx(4 / 5)


def test_lstm_beats_context_free_baseline(
    data: PosTags, quiet_trainer: Any, record_figure: Callable[[str], None]
) -> None:
    baseline = most_frequent_tag_accuracy(data.parts["train"], data.parts["test"])
    torch.manual_seed(0)
    model = LSTM(data.spec)
    model.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=0.005)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, data)
    (result,) = trainer.test(model, data, verbose=False)
    record_figure(
        f"pos_tags, LSTM after 2 epochs: {result['test/accuracy']:.4f}; most frequent tag per word: {baseline:.4f}"
    )
    assert result["test/accuracy"] > baseline + 0.15


@pytest.mark.parametrize("settings", [{"sentences": 0}, {"min_count": 0}])
def test_counts_less_than_one_are_rejected(settings: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be at least 1, not 0"):
        PosTags(**settings)


def test_folds_hold_out_each_sentence_once() -> None:
    folds = [PosTags(sentences=50, folds=5, fold=fold).prepare() for fold in range(5)]
    assert [data.parts["test"].size for data in folds] == [10] * 5
    sentences = read(sentences=50)
    lengths = torch.cat([data.parts["test"].inputs.count_nonzero(1) for data in folds])
    assert sorted(lengths.tolist()) == sorted(len(sentence.words) for sentence in sentences)


def _words(spec: Spec, batch: Batch) -> list[list[str]]:
    assert isinstance(spec.input, Tokens)
    vocabulary = spec.input.vocabulary
    return [[vocabulary[token] for token in row if token != PADDING] for row in batch.inputs.tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_recurrent_models_reach_their_accuracy_with_default_settings(
    name: str, tmp_path: Path, record_figure: Callable[[str], None]
) -> None:
    command = [sys.executable, "train.py", f"model={name}", "optimizer=adam", f"paths.root_dir={tmp_path}"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    metrics = json.loads(
        (Path(done.stdout.strip().splitlines()[-1].removeprefix("run: ")) / "metrics.json").read_text()
    )
    record_figure(f"pos_tags, model={name}: test/accuracy {metrics['test/accuracy']:.4f} in {seconds:.0f} s")
    assert metrics["test/accuracy"] >= 0.97
