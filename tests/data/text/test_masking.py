"""Hidden tokens: how many, which, and that evaluation always hides the same ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.text.masked_text import MaskedText
from primer.data.text.masking import MASK, mask_tokens
from primer.data.text.opinions import Opinions
from primer.data.text.pos_tags import PosTags
from primer.errors import InputError
from primer.spec import IGNORE, PADDING, UNKNOWN, MaskedToken, Tokens

TARGET = MaskedToken(("<pad>", "<unk>", *map(str, range(100)), MASK), 0.2)
KINDS: dict[str, Any] = {
    "masked_text": lambda **more: MaskedText(train_size=2000, sequence_length=20, **more),
    "pos_tags": lambda **more: PosTags(sentences=80, **{"masked": 0.15, **more}),
    "opinions": lambda **more: Opinions(sentences=80, **{"masked": 0.15, **more}),
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def batches(data: DataModule, part: Any = "test", train: bool = False) -> list[Batch]:
    return list(data.loader(part, train=train, bucket=False))


def test_an_exact_fraction_is_hidden() -> None:
    lengths = torch.tensor([100, 1, 10, 3]).repeat(300)
    inputs = torch.randint(2, 102, (1200, 100), generator=torch.Generator().manual_seed(0))
    inputs = inputs.masked_fill(torch.arange(100) >= lengths[:, None], PADDING)
    inputs[2, :5] = UNKNOWN
    masked = mask_tokens(Batch(inputs, None, lengths), TARGET, torch.Generator().manual_seed(0))
    assert masked.targets is not None
    hidden = masked.targets != IGNORE
    assert hidden.sum(1)[:4].tolist() == [20, 1, 1, 1]
    assert (hidden.sum(1)[4:].view(-1, 4) == torch.tensor([20, 1, 2, 1])).all()
    assert torch.equal(masked.targets[hidden], inputs[hidden])
    assert (inputs[hidden] > UNKNOWN).all()
    assert torch.equal(masked.inputs[~hidden], inputs[~hidden])
    shown, total = masked.inputs[hidden], hidden.sum()
    mask = len(TARGET.vocabulary) - 1
    assert (shown == mask).sum() / total == pytest.approx(0.8, abs=0.02)
    assert (shown == inputs[hidden]).sum() / total == pytest.approx(0.101, abs=0.02)
    assert shown.min() > UNKNOWN
    assert hidden[::4].float().mean(0).std() < 0.05  # All positions are equally likely.


def test_the_targets_of_the_data_are_replaced(make: Any) -> None:
    data = make().prepare()
    assert isinstance(data.spec.input, Tokens)
    assert data.spec.target == MaskedToken(data.spec.input.vocabulary, 0.15)
    assert data.spec.input.vocabulary[-1] == MASK
    for batch in (*batches(data), *batches(data, "train", train=True)):
        assert batch.targets is not None
        assert batch.lengths is not None
        assert batch.targets.shape == batch.inputs.shape
        known = (batch.inputs != PADDING).sum(1)
        assert torch.equal(known, batch.lengths)
        assert ((batch.targets != IGNORE).sum(1) >= 1).all()


def test_evaluation_hides_the_same_tokens_whatever_the_epoch_batch_size_and_seed(make: Any) -> None:
    torch.manual_seed(0)
    data = make().prepare()
    first, second = batches(data), batches(data)
    torch.manual_seed(1)
    other = batches(make(eval_batch_size=3).prepare())
    for found in (second, other):
        rows = [row for batch in found for row in zip(*batch[:2], strict=True)]  # type: ignore[arg-type]
        expected = [row for batch in first for row in zip(*batch[:2], strict=True)]  # type: ignore[arg-type]
        for (inputs, targets), (same, wanted) in zip(rows, expected, strict=True):
            length = min(len(inputs), len(same))
            assert torch.equal(inputs[:length], same[:length])
            assert torch.equal(targets[:length], wanted[:length])
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(batches(data, "train"), batches(data, "train")))  # noqa: B905


def test_training_hides_other_tokens_in_each_epoch(make: Any) -> None:
    data = make(batch_size=10_000).prepare()
    loader = data.loader("train", train=True)
    first, second = next(iter(loader)), next(iter(loader))
    assert first.inputs.shape == second.inputs.shape

    def restored(batch: Batch) -> list[list[int]]:
        assert batch.targets is not None
        return sorted(torch.where(batch.targets == IGNORE, batch.inputs, batch.targets).tolist())

    assert restored(first) == restored(second)
    assert not torch.equal(first.inputs.sort(0)[0], second.inputs.sort(0)[0])


def test_without_the_option_nothing_changes() -> None:
    plain, masked = PosTags(sentences=80).prepare(), PosTags(sentences=80, masked=0.15).prepare()
    assert plain.spec.input.vocabulary == masked.spec.input.vocabulary[:-1]  # type: ignore[union-attr]


def test_settings_out_of_range_are_errors() -> None:
    for masked in (0.0, 1.0):
        with pytest.raises(InputError, match=f"masked must be between 0 and 1, or null, not {masked}"):
            PosTags(masked=masked)
    with pytest.raises(InputError, match="hides words, but not their letters"):
        PosTags(sentences=80, masked=0.15, characters=True).prepare()
