"""Models with several optimizers: each has the schedule, penalties, clipping and accumulation of the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, ReduceLROnPlateau

from primer.batch import Batch
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.base import Model, Step
from primer.optim import Schedule
from primer.spec import Image, NoTarget

Trainer = Callable[..., L.Trainer]


class Twins(Model):
    """Two linear layers with the same input, each with its own optimizer; the second target is twice the first."""

    inputs = Image
    targets = NoTarget

    def __init__(self, spec: Any, objective: Any = None) -> None:
        super().__init__(spec, objective)
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(spec.input.size, 1), nn.Linear(spec.input.size, 1)

    def optimizer_groups(self) -> dict[str, nn.Module]:
        return {"left": self.left, "right": self.right}

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        pixels = batch.inputs.flatten(1)
        target = pixels.mean(1, keepdim=True)
        return F.mse_loss(self.left(pixels), target), F.mse_loss(self.right(pixels), 2 * target)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        for name, loss in zip(("left", "right"), self.losses(batch), strict=True):
            self.optimize(name, Step(loss, batch.size))

    def step(self, batch: Batch) -> Step:
        return Step(sum(self.losses(batch), torch.zeros(())), batch.size)


class Alone(Twins):
    """The left layer only, with Lightning's own optimization."""

    optimizer_groups = Model.optimizer_groups  # type: ignore[assignment]
    training_step = Model.training_step  # type: ignore[assignment]

    def step(self, batch: Batch) -> Step:
        return Step(self.losses(batch)[0], batch.size)


def fitted(kind: type[Twins], trainer: Trainer, data: Any = None, **settings: Any) -> tuple[Twins, L.Trainer]:
    data = data or Digits(train_size=100, batch_size=16).prepare()
    ours = {key: settings.pop(key) for key in list(settings) if key in ("schedule", "l1", "l2", "optimizer")}
    L.seed_everything(1, verbose=False)
    model = kind(data.spec)
    model.optimizer = partial(SGD, lr=0.05)
    for name, value in ours.items():
        setattr(model, name, value)
    managed = ("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches")
    if kind is Twins:
        for name in managed:
            if name in settings:
                setattr(model, name, settings.pop(name))
    fitter = trainer(**{"max_epochs": 2, **settings})
    fitter.fit(model, data)
    return model, fitter


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipping by norm": {"gradient_clip_val": 0.01},
    "clipping by value": {"gradient_clip_val": 0.001, "gradient_clip_algorithm": "value"},
    "accumulation": {"accumulate_grad_batches": 3},
    "accumulation and clipping": {"accumulate_grad_batches": 4, "gradient_clip_val": 0.01},
    "l1 and l2": {"l1": 0.01, "l2": 0.1},
    "a schedule by step": {"schedule": Schedule(CosineAnnealingLR, interval="step")},
    "a schedule by epoch": {"schedule": Schedule(partial(ExponentialLR, gamma=0.1))},
    "a warm-up": {"schedule": Schedule(warmup=5, interval="step")},
    "a plateau": {"schedule": Schedule(partial(ReduceLROnPlateau, patience=0, threshold=10.0)), "max_epochs": 3},
    "bf16": {"precision": "bf16-mixed"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_of_several_optimizers_equals_a_single_one(name: str, quiet_trainer: Trainer) -> None:
    """Trained together with the right layer, the left layer equals that trained alone by Lightning."""
    twins, ours = fitted(Twins, quiet_trainer, **dict(SETTINGS[name]))
    alone, theirs = fitted(Alone, quiet_trainer, **dict(SETTINGS[name]))
    torch.testing.assert_close(twins.left.weight, alone.left.weight, atol=1e-7, rtol=1e-5)
    assert ours.global_step == theirs.global_step
    rates = [trainer.optimizers[0].param_groups[0]["lr"] for trainer in (ours, theirs)]
    assert rates[0] == pytest.approx(rates[1], abs=1e-12)
    assert ours.optimizers[1].param_groups[0]["lr"] == pytest.approx(rates[0], abs=1e-12)
    assert not torch.equal(twins.right.weight, alone.right.weight)  # The right layer is not trained alone.


def test_global_steps_are_training_steps(quiet_trainer: Trainer) -> None:
    """Lightning counts the steps of all optimizers; Primer counts each training step once."""
    _, trainer = fitted(Twins, quiet_trainer, max_steps=5, max_epochs=-1)
    assert trainer.global_step == 5


def test_a_parameter_in_two_groups_is_rejected(quiet_trainer: Trainer) -> None:
    class Shared(Twins):
        def optimizer_groups(self) -> dict[str, nn.Module]:
            return {"left": self.left, "both": nn.ModuleList([self.left, self.right])}

    with pytest.raises(InputError, match="Shared: the optimizers 'left' and 'both' share a parameter"):
        fitted(Shared, quiet_trainer)


def test_an_unknown_group_and_a_missing_call_of_optimize_are_rejected(quiet_trainer: Trainer) -> None:
    class Misspelled(Twins):
        def training_step(self, batch: Batch, batch_idx: int) -> None:
            self.optimize("lfet", self.step(batch))

    with pytest.raises(InputError, match="Misspelled optimizes 'lfet', but its groups are left, right"):
        fitted(Misspelled, quiet_trainer)

    class StepsManually(Twins):
        def training_step(self, batch: Batch, batch_idx: int) -> None:
            optimizer: Any = self.optimizers()
            self.manual_backward(self.step(batch).loss)
            optimizer[0].step()

    with pytest.raises(InputError, match="its training_step did not call optimize"):
        fitted(StepsManually, quiet_trainer)


def test_accumulated_gradients_of_several_scales_are_rejected(
    quiet_trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(L.Trainer, "precision", "16-mixed")  # On the CPU, Lightning replaces it by bf16-mixed.
    with pytest.raises(InputError, match="Twins has several optimizers, which cannot accumulate gradients in 16-mixed"):
        fitted(Twins, quiet_trainer, accumulate_grad_batches=2)


def test_a_gradient_of_one_loss_does_not_reach_the_parameters_of_another(quiet_trainer: Trainer) -> None:
    class Coupled(Twins):
        def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
            left, right = super().losses(batch)
            return left, right + self.left.weight.square().sum()

    coupled, _ = fitted(Coupled, quiet_trainer)
    twins, _ = fitted(Twins, quiet_trainer)
    assert torch.equal(coupled.left.weight, twins.left.weight)
