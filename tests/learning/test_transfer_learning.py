"""Weights from some classes help with others of which there is little."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything

from primer.batch import Batch
from primer.checkpoints import weights
from primer.checkpoints.transfer import Finetune, Frozen, Transfer
from primer.data.base import Part, Records
from primer.data.images.images import MNIST
from primer.models.convolutional.lenet import LeNet

MARGIN = 0.01
SEEDS = (0, 1, 2)


class Half(MNIST):
    """The digits from 0 to 4, or those from 5 to 9; on request only so many training images of each."""

    def __init__(self, first: int, each: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.digits, self.each = range(first, first + 5), each

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(digit) for digit in self.digits)

    def read(self) -> dict[Part, Records]:
        parts = super().read()
        return {"train": self.chosen(parts["train"], self.each), "test": self.chosen(parts["test"])}

    def chosen(self, every: Any, each: int | None = None) -> Batch:
        here = torch.cat([(every.targets == digit).nonzero().flatten()[:each] for digit in self.digits])
        return Batch(every.inputs[here], every.targets[here] - self.digits[0])


def trained(
    data: Half,
    trainer: Callable[..., Any],
    seed: int,
    epochs: int,
    start: weights.Weights | None = None,
    how: Transfer | None = None,
) -> tuple[LeNet, float]:
    seed_everything(seed, verbose=False)
    if start and how:
        weights.set_image_format(data, start)
    model = LeNet(data.spec, normalization="batch")
    model.optimizer = partial(torch.optim.Adam, lr=0.003)
    if start and how:
        weights.load(model, start)
        how.apply(model)
    fit = trainer(max_epochs=epochs, limit_val_batches=0)
    fit.fit(model, data)
    (figures,) = fit.test(model, data, verbose=False)
    return model, figures["test/accuracy"]


def test_weights_of_five_digits_help_to_tell_five_others_from_ten_images_each(
    quiet_trainer: Callable[..., Any], data_dir_or_skip: Callable[[str], Path], record_figure: Callable[[str], None]
) -> None:
    settings: dict[str, Any] = {"data_dir": data_dir_or_skip("MNIST").parent}
    many = Half(0, train_size=10000, batch_size=128, **settings).prepare()
    source, _ = trained(many, quiet_trainer, seed=0, epochs=3)
    start = weights.Weights("digits 0 to 4", source.state_dict(), source.spec.input, source.spec.target)
    mean = {}
    # What five classes leave of a digit before the last layer tells little of five others: three layers learn anew.
    ways: dict[str, Transfer | None] = {
        "scratch": None, "frozen but the head": Frozen(), "frozen": Frozen(learn=3), "finetune": Finetune(),
    }  # fmt: skip
    for name, how in ways.items():
        found = []
        for seed in SEEDS:
            few = Half(5, each=10, val_fraction=0, batch_size=10, **settings).prepare()
            assert few.parts["train"].targets is not None
            assert few.parts["train"].targets.bincount().tolist() == [10] * 5
            model, accuracy = trained(few, quiet_trainer, seed, epochs=20, start=start, how=how)
            found.append(accuracy)
            if name == "frozen":
                for key, value in model.state_dict().items():  # Running statistics are among them.
                    same = torch.equal(value, source.state_dict()[key])
                    assert same or not key.startswith(("c1.", "c3.")), key
                assert not torch.equal(model.c5[0].weight, source.c5[0].weight)
        mean[name] = sum(found) / len(found)
        record_figure(f"transfer, {name}: {', '.join(f'{one:.4f}' for one in found)}, mean {mean[name]:.4f}")
    for name in ("frozen", "finetune"):
        record_figure(f"transfer, {name} over scratch: {mean[name] - mean['scratch']:+.4f}")
        assert mean[name] > mean["scratch"] + MARGIN
