"""Classes are counted in the training part; of two, the rarer one is positive unless another is named."""

from __future__ import annotations

import pytest
import torch

from primer.batch import Batch
from primer.data.loading.class_counts import count_classes
from primer.data.tables.tables import BreastCancer
from primer.data.tables.xor import XOR
from primer.errors import InputError
from primer.spec import Classes, Values


@pytest.mark.parametrize(
    ("counts", "positive"), [((10, 90), 0), ((90, 10), 1), ((44, 56), 0), ((46, 54), 1), ((50, 50), 1)]
)
def test_rarer_class_is_positive(counts: tuple[int, int], positive: int) -> None:
    targets = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
    target = count_classes(Classes(("a", "b")), Batch(targets[:, None], targets))
    assert target == Classes(("a", "b"), positive, counts)


def test_data_sets_count_their_training_part() -> None:
    data = BreastCancer().prepare()
    target = data.spec.target
    assert isinstance(target, Classes)
    assert sum(target.counts) == data.sizes()["train"]
    assert target.names[target.positive] == "malignant"
    chosen = BreastCancer(positive="benign").prepare().spec.target
    assert isinstance(chosen, Classes)
    assert chosen.names[chosen.positive] == "benign"
    assert XOR(positive=0).prepare().spec.target.positive == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "positive", "message"),
    [
        (Classes(("ham", "spam")), "spma", "data.positive=spma is not a class; did you mean spam?"),
        (Classes(("a", "b", "c")), "a", "data.positive=a requires 2 classes, not 3"),
        (Values(("y",)), "a", "data.positive=a has no effect"),
    ],
)
def test_unknown_positive_class_is_rejected(target, positive: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        count_classes(target, None, positive)
