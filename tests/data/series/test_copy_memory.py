"""Copying memory, and the loss of a model without memory."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from primer.batch import Batch
from primer.data.series.copy_memory import CopyMemory
from primer.errors import InputError
from primer.spec import Tags, Tokens


def drawn(length: int, samples: int = 500, split_seed: int = 0) -> tuple[CopyMemory, Batch]:
    data = CopyMemory(length=length, samples=samples, split_seed=split_seed).prepare()
    batch = data.parts["train"]
    assert isinstance(batch, Batch)
    assert batch.targets is not None
    return data, batch


@pytest.mark.parametrize("length", [1, 7, 30])
def test_the_target_repeats_the_symbols_after_the_delay(length: int) -> None:
    data, batch = drawn(length)
    assert isinstance(data.spec.input, Tokens)
    assert isinstance(data.spec.target, Tags)
    words, tags = data.spec.input.vocabulary, data.spec.target.names
    assert batch.inputs.shape == batch.targets.shape == (500, length + 20)  # type: ignore[union-attr]
    for row, target in zip(batch.inputs[:20].tolist(), batch.targets[:20].tolist(), strict=True):  # type: ignore[index]
        symbols, expected = [words[k] for k in row], [tags[k] for k in target]
        assert set(symbols[:10]) <= set("12345678")
        assert symbols[10:] == ["blank"] * (length - 1) + ["mark"] * 11
        assert expected == ["blank"] * (length + 10) + symbols[:10]
    assert set(batch.inputs[:, :10].flatten().tolist()) == {words.index(symbol) for symbol in "12345678"}


def test_a_model_without_memory_has_the_published_loss() -> None:
    _, batch = drawn(30)
    assert batch.targets is not None
    probabilities = torch.zeros(50, 9)
    probabilities[:40, 0] = 1
    probabilities[40:, 1:] = 1 / 8
    losses = F.nll_loss(probabilities.log().expand(500, -1, -1).flatten(0, 1), batch.targets.flatten())
    assert losses.item() == pytest.approx(10 * math.log(8) / 50, rel=1e-5)


def test_parts_depend_on_the_split_seed() -> None:
    (first, batch), (_, same), (_, other) = drawn(5), drawn(5), drawn(5, split_seed=1)
    assert torch.equal(batch.inputs, same.inputs)
    assert not torch.equal(batch.inputs, other.inputs)
    assert {name: part.size for name, part in first.parts.items()} == {"train": 500, "val": 50, "test": 100}


def test_a_length_less_than_one_is_rejected() -> None:
    with pytest.raises(InputError, match="length must be at least 1, not 0"):
        CopyMemory(length=0)
