"""Data sets adopt the words and letters of trained weights, so that fine-tuning knows those that pre-training knew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.readers.tokenization import Characters
from primer.data.text.conllu import CoNLLU
from primer.data.text.masked_text import MaskedText
from primer.data.text.pair_files import PairFiles
from primer.data.text.text import Text
from primer.spec import UNKNOWN, NextToken, Tokens

KNOWN = Tokens(("<pad>", "<unk>", "z", "é", "b"), ("<pad>", "<unk>", "é", "z"))


def adopting(data: DataModule) -> DataModule:
    data.adopt_vocabulary(KNOWN)
    return data.prepare()  # type: ignore[return-value]


@pytest.mark.parametrize("kind", [Text, MaskedText])
def test_characters_that_weights_know_come_first(kind: type[Text], tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("abcab\n" * 40)
    own, data = (kind(path=str(tmp_path / "some.txt")) for _ in range(2))
    own.prepare()
    adopting(data)
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.vocabulary[:8] == ("<pad>", "<unk>", "z", "é", "b", "\n", "a", "c")
    if isinstance(data.spec.target, NextToken):
        assert data.spec.target.vocabulary == data.spec.input.vocabulary
    assert data.prompt("éa!").tolist() == [3, 6, UNKNOWN]
    mine, theirs = own.parts["val"], data.parts["val"]
    assert isinstance(mine, Batch)
    assert isinstance(theirs, Batch)
    assert isinstance(own.spec.input, Tokens)
    words, others = (parts.inputs.flatten().tolist() for parts in (mine, theirs))
    assert [own.spec.input.vocabulary[k] for k in words] == [data.spec.input.vocabulary[k] for k in others]


def test_characters_are_encoded_by_their_place_in_the_vocabulary() -> None:
    tokenizer = Characters("cab", ("d", "b"))
    assert tokenizer.words == ("d", "b", "a", "c")
    assert tokenizer.encode("abcd-").tolist() == [4, 3, 5, 2, UNKNOWN]
    assert tokenizer.decode(torch.tensor([4, 3, 5, 2])) == "abcd"


def test_sources_of_pairs_are_adopted_and_targets_are_not(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"ab{k}\tb{k}\n" for k in range(20)))
    data = adopting(PairFiles(path=str(tmp_path / "pairs.tsv"), level="character"))
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.vocabulary[:6] == ("<pad>", "<unk>", "z", "é", "b", "0")
    assert "z" not in data.spec.target.vocabulary  # type: ignore[union-attr]


def test_letters_of_tagged_words_are_adopted(tmp_path: Path) -> None:
    (tmp_path / "some.conllu").write_text("1\tab\t_\tX\t_\t_\t_\t_\t_\t_\n\n" * 20)
    data = adopting(CoNLLU(train=str(tmp_path / "some.conllu"), characters=True))
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.input.characters == ("<pad>", "<unk>", "é", "z", "a", "b")
    assert data.spec.input.vocabulary[:5] == KNOWN.vocabulary
