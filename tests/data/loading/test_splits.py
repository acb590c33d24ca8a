"""Splits into training, validation and test parts, and folds."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.errors import InputError
from primer.spec import Classes, Spec, Tags, Tokens, Vector


class Numbered(DataModule):
    """Samples whose only feature is their number, in three classes of unequal size."""

    inputs = Vector
    targets = Classes

    def __init__(self, sizes: dict[Part, int] | int = 100, stratified: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sizes: dict[Part, int] = {"train": sizes} if isinstance(sizes, int) else sizes
        self.stratified = stratified
        self.reads = self.downloads = 0

    def download(self) -> None:
        self.downloads += 1

    def read(self) -> dict[Part, Records]:
        self.reads += 1
        parts, first = {}, 0
        for part, size in self.sizes.items():
            numbers = torch.arange(first, first + size)
            parts[part] = Batch(numbers.float().view(-1, 1), kinds(numbers))
            first += size
        return parts

    def labels(self, records: Any) -> np.ndarray | None:
        return records.targets.numpy() if self.stratified else None

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Vector(1, (), *moments(train.inputs)), Classes(("a", "b", "c")))

    def encode(self, records: Any) -> Batch:
        return records


def kinds(numbers: torch.Tensor) -> torch.Tensor:
    return (numbers % 10).clamp(max=2)  # 10, 10 and 80 percent.


def split(sizes: dict[Part, int] | int = 100, **settings: Any) -> dict[str, list[int]]:
    data = Numbered(sizes, **settings).prepare()
    return {part: batch.inputs[:, 0].long().tolist() for part, batch in data.parts.items()}


def test_the_parts_are_disjoint_and_complete() -> None:
    parts = split(100)
    assert {name: len(part) for name, part in parts.items()} == {"train": 70, "val": 10, "test": 20}
    assert sorted(parts["train"] + parts["val"] + parts["test"]) == list(range(100))


def test_parts_are_stratified_by_class() -> None:
    parts = split(1000)
    for part in parts.values():
        fractions = np.bincount(kinds(torch.tensor(part)), minlength=3) / len(part)
        assert np.allclose(fractions, [0.1, 0.1, 0.8], atol=0.01)


def test_the_split_depends_only_on_split_seed() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = split(100)
    torch.manual_seed(2)
    np.random.seed(2)
    assert split(100) == first
    other = split(100, split_seed=1)
    assert set(other["test"]) != set(first["test"])
    assert set(other["val"]) != set(first["val"])


def test_batch_size_and_train_size_do_not_change_validation_and_test() -> None:
    first, fewer = split(100), split(100, train_size=30, batch_size=5)
    assert (fewer["val"], fewer["test"]) == (first["val"], first["test"])
    assert len(fewer["train"]) == 30
    assert set(fewer["train"]) < set(first["train"])
    assert np.bincount(kinds(torch.tensor(fewer["train"]))).tolist() == [3, 3, 24]


@pytest.mark.parametrize("published", [{"train": 60, "test": 20}, {"train": 60, "val": 10, "test": 20}])
def test_a_published_test_part_stays_the_test_part(published: dict[Part, int]) -> None:
    parts = split(published)
    start = sum(size for part, size in published.items() if part != "test")
    assert parts["test"] == list(range(start, start + 20))
    assert sorted(parts["train"] + parts["val"]) == list(range(start))
    assert len(parts["val"]) == published.get("val", 6)
    if "val" in published:
        assert parts["val"] == list(range(60, 70))


@pytest.mark.parametrize("stratified", [True, False])
def test_folds_test_every_sample_once(stratified: bool) -> None:
    parts = [split(103, folds=5, fold=fold, stratified=stratified) for fold in range(5)]
    assert sorted(chain.from_iterable(part["test"] for part in parts)) == list(range(103))
    for part in parts:
        assert sorted(part["train"] + part["val"] + part["test"]) == list(range(103))
        assert len(part["val"]) == 10
        if stratified:
            assert np.bincount(kinds(torch.tensor(part["test"])), minlength=3).min() >= 2


def test_folds_validate_every_sample_once_if_the_test_part_is_published() -> None:
    sizes: dict[Part, int] = {"train": 50, "val": 10, "test": 20}
    parts = [split(sizes, folds=3, fold=fold) for fold in range(3)]
    assert all(part["test"] == list(range(60, 80)) for part in parts)
    assert sorted(chain.from_iterable(part["val"] for part in parts)) == list(range(60))
    assert all(sorted(part["train"] + part["val"]) == list(range(60)) for part in parts)


def test_folds_include_a_published_validation_part() -> None:
    sizes: dict[Part, int] = {"train": 50, "val": 10}
    parts = [split(sizes, folds=3, fold=fold) for fold in range(3)]
    assert sorted(chain.from_iterable(part["test"] for part in parts)) == list(range(60))
    assert all(sorted(part["train"] + part["val"] + part["test"]) == list(range(60)) for part in parts)


def test_no_validation_part() -> None:
    data = Numbered(100, val_fraction=0.0).prepare()
    assert data.parts["val"].size == 0
    assert data.val_dataloader() == []
    assert data.parts["train"].size == 80


def test_statistics_are_computed_on_the_training_part_only() -> None:
    data = Numbered(100).prepare()
    train = data.parts["train"].inputs
    assert isinstance(data.spec.input, Vector)
    assert data.spec.input.mean[0] == pytest.approx(train.mean().item())
    assert data.spec.input.std[0] == pytest.approx(train.std(correction=0).item())
    everything = torch.cat([part.inputs for part in data.parts.values()])
    assert data.spec.input.mean[0] != pytest.approx(everything.mean().item())
    batches = torch.cat([batch.inputs for batch in data.train_dataloader()])
    assert batches.mean().item() == pytest.approx(0.0, abs=1e-5)
    held_out = torch.cat([batch.inputs for batch in data.test_dataloader()])
    assert held_out.mean().item() != pytest.approx(0.0, abs=1e-3)


def test_records_need_not_be_tensors() -> None:
    class Sentences(DataModule):
        inputs = Tokens
        targets = Tags

        def read(self) -> dict[Part, Records]:
            return {"train": [["word"] * (1 + number % 4) for number in range(40)]}

        def fit_spec(self, train: Any) -> Spec:
            assert isinstance(train, list)
            return Spec(Tokens(("<pad>", "<unk>", "word")), Tags(("A",)))

        def encode(self, records: Any) -> Batch:
            lengths = torch.tensor([len(record) for record in records])
            steps = torch.arange(4) < lengths.view(-1, 1)
            return Batch(torch.where(steps, 2, 0), torch.where(steps, 0, -100), lengths)

    data = Sentences(batch_size=4).prepare()
    assert {part: batch.size for part, batch in data.parts.items()} == {"train": 28, "val": 4, "test": 8}
    for batch in data.train_dataloader():
        assert batch.targets is not None
        assert batch.lengths is not None
        assert batch.targets.shape == batch.inputs.shape == (batch.size, batch.lengths.max())


def test_data_is_read_only_once() -> None:
    data = Numbered(100)
    data.prepare().prepare()
    data.setup("fit")
    data.prepare_data()
    assert (data.reads, data.downloads) == (1, 1)


def test_the_spec_is_available_once_the_data_is_prepared() -> None:
    with pytest.raises(RuntimeError, match=r"call prepare\(\) first"):
        _ = Numbered(100).spec


def test_training_is_shuffled_and_evaluation_is_not() -> None:
    data = Numbered(100, batch_size=16).prepare()
    numbers = {part: batch.inputs[:, 0].long().tolist() for part, batch in data.parts.items()}
    mean, std = data.spec.input.mean[0], data.spec.input.std[0]  # type: ignore[union-attr]

    def seen(loader: Any) -> list[int]:
        return [round(x * std + mean) for batch in loader for x in batch.inputs[:, 0].tolist()]

    assert sorted(seen(data.train_dataloader())) == numbers["train"]
    assert seen(data.train_dataloader()) != numbers["train"]
    assert seen(data.val_dataloader()) == numbers["val"]
    assert seen(data.test_dataloader()) == seen(data.predict_dataloader()) == numbers["test"]


def test_a_full_batch_is_the_whole_training_part() -> None:
    loader = Numbered(100, batch_size="full").prepare().train_dataloader()
    assert len(loader) == 1
    assert next(iter(loader)).size == 70


def test_augmentation_is_applied_in_training_only() -> None:
    def overwrite(batch: Batch, generator: torch.Generator, spec: Spec) -> Batch:
        return batch._replace(inputs=torch.full_like(batch.inputs, 1e6))

    data = Numbered(100, augmentation=[overwrite]).prepare()
    assert all((batch.inputs > 1e3).all() for batch in data.train_dataloader())
    for loader in (data.val_dataloader(), data.test_dataloader(), data.loader("train", train=False)):
        assert all((batch.inputs < 1e3).all() for batch in loader)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"val_fraction": 1.0},
            "val_fraction=1.0, test_fraction=0.2: each must be at least 0, and their sum less than 1",
        ),
        ({"val_fraction": -0.1}, "val_fraction=-0.1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "their sum less than 1"),
        ({"folds": 1}, "folds must be at least 2, not 1"),
        ({"folds": 3, "fold": 3}, "fold must be from 0 to 2 with folds=3, not 3"),
        ({"folds": 3, "fold": -1}, "fold must be from 0 to 2 with folds=3, not -1"),
        ({"folds": 101}, "folds=101, but there are only 100 samples"),
        ({"batch_size": 0}, "batch_size must be at least 1 or 'full', not 0"),
        ({"batch_size": "all"}, "batch_size must be at least 1 or 'full', not all"),
        ({"eval_batch_size": 0}, "eval_batch_size must be at least 1, not 0"),
        ({"train_size": 0}, "train_size must be at least 1, not 0"),
        ({"train_size": 71}, "train_size=71, but the training part has 70 samples"),
        ({"train_size": 1}, "too few"),
        ({"test_fraction": 0.0}, "test_fraction=0.0 leaves no samples for testing"),
        ({"sizes": 2}, "2 samples are too few"),
        ({"sizes": 1}, "1 samples are too few"),
        ({"sizes": 0}, "0 samples are too few"),
    ],
)
def test_invalid_splits_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        split(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [5, 12, 30])
def test_rare_classes_do_not_prevent_a_split(size: int) -> None:
    parts = split(size)
    assert sorted(chain.from_iterable(parts.values())) == list(range(size))
    folded = [split(size, folds=4, fold=fold) for fold in range(4)]
    assert sorted(chain.from_iterable(part["test"] for part in folded)) == list(range(size))


def test_folds_of_other_classes_are_stratified_beside_a_rare_one() -> None:
    data = Numbered(50, folds=5)
    numbers = torch.arange(50)
    labels = torch.where(numbers < 2, 2, (numbers % 5 == 0).long())  # Two samples of the last class.
    records = Batch(numbers.float().view(-1, 1), labels)
    for data.fold in range(5):
        _, held_out = data.split_fold(records)
        assert held_out.targets is not None  # type: ignore[union-attr]
        assert 1 <= (held_out.targets == 1).sum() <= 2  # type: ignore[union-attr]


def test_each_class_is_learned_even_if_there_are_more_than_samples_held_out() -> None:
    records = Batch(torch.arange(120.0).view(-1, 1), torch.arange(120) % 60)
    rest, held_out = Numbered().hold_out(records, 24)
    assert (rest.size, held_out.size) == (96, 24)  # type: ignore[union-attr]
    assert len(rest.targets.unique()) == 60  # type: ignore[union-attr]


def test_the_smallest_split() -> None:
    assert {name: len(part) for name, part in split(3).items()} == {"train": 2, "val": 0, "test": 1}
