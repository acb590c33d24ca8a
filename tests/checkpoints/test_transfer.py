"""Which layers are trained, and how fast, when a model starts from pretrained weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from primer.checkpoints.resume import Resume
from primer.checkpoints.transfer import Finetune, Frozen, Gradual, Unfreezing
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.base import Model
from primer.models.convolutional.resnet import ResNet
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.optim import Muon, Schedule, build_optimizer
from primer.optim.groups import rate_factors
from primer.spec import NoTarget, Spec, Tokens


def data() -> Digits:
    return Digits(train_size=60, batch_size=20).prepare()


def network(datamodule: Digits) -> ResNet:
    torch.manual_seed(0)
    model = ResNet(datamodule.spec, layers=[1, 1], width=4, dropout=0.2)
    model.optimizer = partial(Adam, lr=0.01)
    return model


def copy_of_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


class RecordChanges(L.Callback):
    """Records which depth groups changed in each epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[bool]] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.before = [[copy_of_state(layer) for layer in group] for group in pl_module.depth_groups()]

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        after = [[copy_of_state(layer) for layer in group] for group in pl_module.depth_groups()]
        same = [
            all(torch.equal(a[name], b[name]) for a, b in zip(old, new, strict=True) for name in a)
            for old, new in zip(self.before, after, strict=True)
        ]
        self.epochs.append([not unchanged for unchanged in same])


def test_frozen_layers_and_running_statistics_do_not_change(quiet_trainer: Callable[..., Any]) -> None:
    datamodule = data()
    model = network(datamodule)
    model.l1, before = 1e-3, copy_of_state(model)
    assert Frozen().apply(model) == []
    quiet_trainer(max_epochs=2).fit(model, datamodule)
    for name, value in copy_of_state(model).items():
        assert torch.equal(value, before[name]) is not name.startswith("head."), name
    assert [p.requires_grad for p in model.head.parameters()] == [True, True]
    model.train()
    assert model.training
    assert model.head.training
    assert model.dropout.training
    assert not any(layer.training for stage in model.stages for layer in stage.modules())


def test_several_groups_can_be_trained(quiet_trainer: Callable[..., Any]) -> None:
    datamodule, changes = data(), RecordChanges()
    model = network(datamodule)
    Frozen(learn=3).apply(model)
    quiet_trainer(max_epochs=1, callbacks=[changes]).fit(model, datamodule)
    assert changes.epochs == [[False, True, True, True]]


def test_each_group_has_its_own_learning_rate(quiet_trainer: Callable[..., Any]) -> None:
    datamodule = data()
    model = network(datamodule)
    assert Finetune(lowest_rate=0.01).apply(model) == []
    model.l2 = 1e-4
    changes = RecordChanges()
    trainer = quiet_trainer(max_epochs=1, callbacks=[changes])
    trainer.fit(model, datamodule)
    rates = {id(p): group["lr"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    groups = model.depth_groups()
    assert len(groups) == 4
    for depth, expected in enumerate([1e-4, 1e-4 * 100 ** (1 / 3), 1e-4 * 100 ** (2 / 3), 1e-2]):
        found = [rates[id(p)] for layer in groups[depth] for p in layer.parameters()]
        assert found == pytest.approx([expected] * len(found))
    assert len(rates) == len(list(model.parameters()))
    assert trainer.callback_metrics["lr"] == pytest.approx(0.01)
    assert changes.epochs == [[True] * 4]


@pytest.mark.parametrize("factory", [partial(SGD, lr=0.1), partial(Muon, lr=0.1), Adam])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_learning_rate_factors_apply_to_any_optimizer(factory: Any, l2: float) -> None:
    model = MLP(data().spec, hidden_sizes=(4, 4))
    factors = rate_factors([[model.hidden[0]], [model.hidden[2]], [model.head]], 0.25)
    optimizer = build_optimizer(factory, model, l2, factors=factors)
    base = 0.001 if factory is Adam else 0.1
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for layer, factor in ((model.hidden[0], 0.25), (model.hidden[2], 0.5), (model.head, 1.0)):
        assert [rates[id(p)] for p in layer.parameters()] == pytest.approx([base * factor] * 2)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays[id(model.head.weight)] == l2
    assert decays[id(model.head.bias)] == 0


@pytest.mark.parametrize("scheduler", [partial(OneCycleLR, max_lr=0.1, cycle_momentum=False), CosineAnnealingLR])
def test_a_schedule_keeps_the_ratio_of_the_learning_rates(scheduler: Any) -> None:
    model = MLP(data().spec, hidden_sizes=(4,))
    factors = rate_factors([[model.hidden], [model.head]], 0.1)
    optimizer = build_optimizer(partial(SGD, lr=0.1), model, factors=factors)
    (entry,) = Schedule(scheduler, interval="step").build(optimizer, steps=10, epochs=1)
    seen = []
    for _ in range(9):
        low, high = sorted(group["lr"] for group in optimizer.param_groups)
        assert low == pytest.approx(high / 10)
        seen.append(high)
        optimizer.step()
        entry["scheduler"].step()
    assert max(seen) == pytest.approx(0.1, rel=0.05)


def test_layers_are_unfrozen_at_their_epochs(quiet_trainer: Callable[..., Any]) -> None:
    datamodule, changes = data(), RecordChanges()
    model = network(datamodule)
    callbacks = Gradual(epochs=[2, 4]).apply(model)
    assert [type(callback) for callback in callbacks] == [Unfreezing]
    quiet_trainer(max_epochs=5, callbacks=[*callbacks, changes]).fit(model, datamodule)
    last, last_two, everything = [False] * 3 + [True], [False] * 2 + [True] * 2, [True] * 4
    assert changes.epochs == [last, last_two, last_two, everything, everything]


def test_a_resumed_run_continues_gradual_unfreezing(quiet_trainer: Callable[..., Any], tmp_path: Path) -> None:
    def run(epochs: int, path: Path | None = None) -> tuple[L.Trainer, ResNet]:
        datamodule = data()
        model = network(datamodule)
        trainer = quiet_trainer(max_epochs=epochs, callbacks=[Resume(), *Gradual(epochs=[2, 4]).apply(model)])
        trainer.fit(model, datamodule, ckpt_path=path, weights_only=True)
        return trainer, model

    _, whole = run(5)
    run(2)[0].save_checkpoint(tmp_path / "epoch_2.ckpt")
    _, resumed = run(5, tmp_path / "epoch_2.ckpt")
    for name, value in copy_of_state(whole).items():
        assert torch.equal(copy_of_state(resumed)[name], value), name


def test_number_of_frozen_groups_in_each_epoch() -> None:
    callback = Unfreezing([3, 6, 9])
    assert [callback.frozen(epoch, 6) for epoch in range(1, 11)] == [5, 5, 4, 4, 4, 3, 3, 3, 0, 0]
    assert [callback.frozen(epoch, 2) for epoch in (1, 3, 6, 9)] == [1, 0, 0, 0]


def test_gradual_unfreezing_rejects_several_processes() -> None:
    class DistributedTrainer:
        world_size = 2

    with pytest.raises(InputError, match="transfer=gradual requires a single process"):
        Unfreezing([2]).setup(DistributedTrainer(), network(data()), "fit")  # type: ignore[arg-type]


def test_depth_groups_are_the_children_from_input_to_output() -> None:
    spec = data().spec
    groups = GRU(spec, hidden_size=4, num_layers=2).depth_groups()
    assert [type(group[0]).__name__ for group in groups] == ["GRU", "GRU", "Linear"]
    model = MLP(spec, hidden_sizes=(4,))
    assert model.depth_groups() == [[model.hidden], [model.head]]


def test_invalid_settings_are_rejected() -> None:
    for make, message in (
        (lambda: Frozen(learn=0), "transfer.learn must be at least 1, not 0"),
        (lambda: Frozen(learn=4).apply(network(data())), "leaves nothing frozen: ResNet has 4 groups of layers"),
        (lambda: Finetune(lowest_rate=0), "transfer.lowest_rate must be more than 0 and at most 1, not 0"),
        (lambda: Finetune(image_size=0), "transfer.image_size must be at least 1, not 0"),
        (lambda: Gradual(epochs=[3, 2]), r"in ascending order, counted from 1, not \[3, 2\]"),
        (lambda: Gradual(epochs=[0, 2]), r"counted from 1, not \[0, 2\]"),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_a_tied_embedding_stays_frozen_with_its_group() -> None:
    """The weights of the last layer are those of the first: they are frozen although the last layer is trained."""

    class Tied(Model):
        inputs, targets = Tokens, NoTarget

        def __init__(self, spec: Spec, objective: Any = None) -> None:
            super().__init__(spec, objective)
            self.embedding = torch.nn.Embedding(5, 3)
            self.body = torch.nn.Linear(3, 3)
            self.head = torch.nn.Linear(3, 5)
            self.head.weight = self.embedding.weight

    model = Tied(Spec(Tokens(("", "?", "a", "b", "c")), NoTarget()))
    Frozen(learn=1).apply(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.bias"]
    model.freeze_groups(0)
    assert all(parameter.requires_grad for parameter in model.parameters())
    factors = rate_factors(model.depth_groups(), 0.25)
    assert factors[id(model.head.weight)] == factors[id(model.embedding.weight)] == 0.25
    assert factors[id(model.head.bias)] == 1
