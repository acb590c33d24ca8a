"""Every optimizer of the configs reduces a loss, goes on after a stop, and decays what it should."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer, Rprop

from primer.cli.choices import groups
from primer.config.instantiate import instantiate
from primer.config.paths import CONFIGS
from primer.errors import InputError
from primer.optim import Chained, Muon, SparseAdam, build_optimizer, decayed, penalizes
from primer.optim.chained import partition


def factory(name: str) -> Any:
    return instantiate(OmegaConf.to_container(OmegaConf.load(CONFIGS / "optimizer" / f"{name}.yaml")))


class Words(nn.Module):
    """A mean of embeddings, then two layers and a norm: all kinds of parameters."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6, sparse=sparse)
        self.embedding.weight.sparse = sparse  # type: ignore[assignment]
        self.hidden, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 1)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.norm(self.hidden(self.embedding(words).mean(1))).tanh())


def problem() -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(0)
    words = torch.randint(0, 12, (40, 5), generator=chance)
    return words, (words < 6).float().mean(1, keepdim=True) * 4 - 2


def steps(model: nn.Module, optimizer: Optimizer, count: int) -> list[float]:
    words, targets = problem()
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(words), targets)
        loss.backward()
        return loss

    for _ in range(count):
        losses.append(float(optimizer.step(closure)))  # type: ignore[arg-type]
    return losses


def made(sparse: bool = False) -> Words:
    torch.manual_seed(0)
    return Words(sparse)


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_every_optimizer_reduces_the_loss(name: str) -> None:
    model = made(sparse=name == "sparse_adam")
    losses = steps(model, build_optimizer(factory(name), model, l2=1e-4), 60)
    assert losses[-1] < 0.95 * losses[0]
    assert all(loss == loss for loss in losses)


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_every_optimizer_goes_on_after_a_stop(name: str) -> None:
    """Nine steps are five steps and, in another model with another optimizer, four more."""
    sparse = name == "sparse_adam"
    whole = made(sparse)
    whole_optimizer = build_optimizer(factory(name), whole, l2=1e-3)
    steps(whole, whole_optimizer, 9)

    first, second = made(sparse), Words(sparse)
    optimizer = build_optimizer(factory(name), first, l2=1e-3)
    steps(first, optimizer, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    resumed = build_optimizer(factory(name), second, l2=1e-3)
    resumed.load_state_dict(saved)
    steps(second, resumed, 4)

    for mine, theirs in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    mine, theirs = resumed.state_dict(), whole_optimizer.state_dict()
    assert mine["param_groups"] == theirs["param_groups"]
    assert mine["state"].keys() == theirs["state"].keys()
    for number, state in theirs["state"].items():
        assert state.keys() == mine["state"][number].keys()


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_a_state_holds_tensors_and_plain_values(name: str, tmp_path: Any) -> None:
    model = made(sparse=name == "sparse_adam")
    optimizer = build_optimizer(factory(name), model)
    steps(model, optimizer, 2)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["param_groups"]


# Groups.


def test_weights_are_decayed_and_vectors_are_not() -> None:
    model = made()
    shrunk, others = decayed(model)
    assert {id(p) for p in shrunk} == {id(m.weight) for m in (model.embedding, model.hidden, model.head)}
    assert len(others) == 4
    optimizer = build_optimizer(AdamW, model, l2=0.1)
    assert [(len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups] == [(3, 0.1), (4, 0.0)]
    assert [g["weight_decay"] for g in build_optimizer(AdamW, model).param_groups] == [0.0]


def test_frozen_parameters_are_left_out() -> None:
    model = made()
    model.embedding.weight.requires_grad_(False)
    optimizer = build_optimizer(Adam, model, l2=0.1)
    assert all(p is not model.embedding.weight for g in optimizer.param_groups for p in g["params"])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="Words has no parameters to train"):
        build_optimizer(Adam, model)


def test_a_model_of_biases_alone_can_be_trained() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    assert len(build_optimizer(Adam, layer, l2=0.1).param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (Adam, False),
        (SGD, False),
        (partial(SGD, lr=1.0), False),
        (Muon, False),
        (Rprop, True),
        (LBFGS, True),
        (SparseAdam, True),
    ],
)
def test_who_needs_l2_in_the_loss(kind: Any, wanted: bool) -> None:
    assert penalizes(kind) is wanted


@pytest.mark.parametrize(
    ("kind", "l2", "message"),
    [
        (Adam, -1.0, "regularization.l2 must be at least 0, not -1.0"),
        (partial(Adam, lr=-1.0), 0.0, "optimizer: Invalid learning rate: -1.0"),
        (partial(SGD, nesterov=True), 0.0, "optimizer: Nesterov momentum requires a momentum"),
        (partial(AdamW, weight_decay=0.1), 0.0, "set regularization.l2"),
    ],
)
def test_what_makes_no_optimizer_is_refused(kind: Any, l2: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_optimizer(kind, made(), l2)


def test_fused_where_it_is_asked_for_and_possible() -> None:
    fused = partial(Adam, fused=True)
    assert build_optimizer(fused, made()).param_groups[0]["fused"] is True
    assert build_optimizer(fused, made(), fused=False).param_groups[0]["fused"] is False
    assert not build_optimizer(Adam, made()).param_groups[0]["fused"]
    mixed = made()
    mixed.extra = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    assert build_optimizer(fused, mixed).param_groups[0]["fused"] is False


# Several optimizers behind one.


def test_partition() -> None:
    a, b, c = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (2,), (3, 3)))
    sides = partition(
        [{"params": [a, b], "weight_decay": 0.1}, {"params": [c], "weight_decay": 0.0}], lambda p: p.ndim == 2
    )
    assert [[len(group["params"]) for group in side] for side in sides] == [[1, 1], [1]]
    assert [group["weight_decay"] for group in sides[0]] == [0.1, 0.0]
    assert [len(side) for side in partition([a, b, c], lambda p: p.ndim == 3)] == [0, 1]
    assert [len(side) for side in partition(iter([a, b]), lambda p: p.ndim == 2)] == [1, 1]


def test_muon_is_for_matrices_and_adamw_for_the_rest() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    optimizer = build_optimizer(partial(Muon, lr=0.01), model, l2=0.1)
    assert isinstance(optimizer, Muon)
    inner = {type(one): sum(len(g["params"]) for g in one.param_groups) for one in optimizer.optimizers}
    assert inner == {torch.optim.Muon: 1, AdamW: 3}
    decays = {tuple(p.shape): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {(2, 2): 0.1, (2, 1, 3, 3): 0.1, (2,): 0.0}
    assert all(group["lr"] == 0.01 for group in optimizer.param_groups)


def test_muon_moves_a_matrix_along_orthogonal_directions() -> None:
    matrix = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([matrix], lr=1.0, momentum=0.0)
    torch.manual_seed(0)
    matrix.grad = torch.linalg.qr(torch.randn(8, 8))[0] * torch.logspace(0, -1, 8)  # Singular values from 1 to 0.1.
    optimizer.step()
    values = torch.linalg.svdvals(matrix.detach())
    assert values.max() / values.min() < 2


def test_sparse_adam_moves_the_rows_of_the_batch_alone() -> None:
    model = made(sparse=True)
    before = model.embedding.weight.detach().clone()
    optimizer = build_optimizer(partial(SparseAdam, lr=0.1), model)
    assert isinstance(optimizer, SparseAdam)
    assert [type(one) for one in optimizer.optimizers] == [torch.optim.SparseAdam, Adam]
    model(torch.tensor([[3, 5, 5]])).sum().backward()
    optimizer.step()
    moved = (model.embedding.weight != before).any(1)
    assert moved.nonzero().flatten().tolist() == [3, 5]


def test_a_schedule_reaches_every_optimizer_within() -> None:
    model = made()
    optimizer = build_optimizer(partial(Muon, lr=0.1), model)
    assert isinstance(optimizer, Chained)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    steps(model, optimizer, 1)
    scheduler.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.param_groups[1]["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    steps(model, optimizer, 1)
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True))
    assert {one.param_groups[0]["lr"] for one in optimizer.optimizers} == {0.0}
