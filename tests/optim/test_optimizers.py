"""Every configured optimizer reduces a loss, can be resumed, and decays only weights."""

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
from primer.config.instantiate import instantiate_partial
from primer.config.paths import CONFIGS
from primer.errors import InputError
from primer.optim import Chained, Muon, RowClippedSGD, SparseAdam, build_optimizer, decayed, penalizes
from primer.optim.chained import partition


def factory(name: str) -> Any:
    node = OmegaConf.to_container(OmegaConf.load(CONFIGS / "optimizer" / f"{name}.yaml"))
    return instantiate_partial(node, Optimizer)


class Words(nn.Module):
    """Averages embeddings, then applies two layers and a norm: all kinds of parameters."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6, sparse=sparse)
        self.embedding.weight.sparse = sparse  # type: ignore[assignment]
        self.hidden, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 1)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.norm(self.hidden(self.embedding(words).mean(1))).tanh())


def make_data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 12, (40, 5), generator=generator)
    return words, (words < 6).float().mean(1, keepdim=True) * 4 - 2


def train(model: nn.Module, optimizer: Optimizer, count: int) -> list[float]:
    words, targets = make_data()
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(words), targets)
        loss.backward()
        return loss

    for _ in range(count):
        losses.append(float(optimizer.step(closure)))  # type: ignore[arg-type]
    return losses


def build_model(sparse: bool = False) -> Words:
    torch.manual_seed(0)
    return Words(sparse)


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_every_optimizer_reduces_the_loss(name: str) -> None:
    model = build_model(sparse=name == "sparse_adam")
    losses = train(model, build_optimizer(factory(name), model, l2=1e-4), 60)
    assert losses[-1] < 0.95 * losses[0]
    assert all(loss == loss for loss in losses)


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_resumed_optimizer_matches_uninterrupted_training(name: str) -> None:
    """Nine steps equal five steps and, after loading into a new model and optimizer, four more."""
    sparse = name == "sparse_adam"
    whole = build_model(sparse)
    whole_optimizer = build_optimizer(factory(name), whole, l2=1e-3)
    train(whole, whole_optimizer, 9)

    first, second = build_model(sparse), Words(sparse)
    optimizer = build_optimizer(factory(name), first, l2=1e-3)
    train(first, optimizer, 5)
    saved = copy.deepcopy(optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    resumed = build_optimizer(factory(name), second, l2=1e-3)
    resumed.load_state_dict(saved)
    train(second, resumed, 4)

    for actual, expected in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(actual, expected)
    actual, expected = resumed.state_dict(), whole_optimizer.state_dict()
    assert actual["param_groups"] == expected["param_groups"]
    assert actual["state"].keys() == expected["state"].keys()
    for index, state in expected["state"].items():
        assert state.keys() == actual["state"][index].keys()


@pytest.mark.parametrize("name", groups()["optimizer"])
def test_optimizer_state_loads_with_weights_only(name: str, tmp_path: Any) -> None:
    model = build_model(sparse=name == "sparse_adam")
    optimizer = build_optimizer(factory(name), model)
    train(model, optimizer, 2)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["param_groups"]


# Parameter groups.


def test_weight_decay_applies_to_weights_but_not_to_vectors() -> None:
    model = build_model()
    weights, others = decayed(model)
    assert {id(p) for p in weights} == {id(m.weight) for m in (model.embedding, model.hidden, model.head)}
    assert len(others) == 4
    optimizer = build_optimizer(AdamW, model, l2=0.1)
    assert [(len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups] == [(3, 0.1), (4, 0.0)]
    assert [g["weight_decay"] for g in build_optimizer(AdamW, model).param_groups] == [0.0]


def test_frozen_parameters_are_not_optimized() -> None:
    model = build_model()
    model.embedding.weight.requires_grad_(False)
    optimizer = build_optimizer(Adam, model, l2=0.1)
    assert all(p is not model.embedding.weight for g in optimizer.param_groups for p in g["params"])
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="Words has no trainable parameters"):
        build_optimizer(Adam, model)


def test_model_with_only_trainable_biases() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    assert len(build_optimizer(Adam, layer, l2=0.1).param_groups) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
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
def test_l2_is_added_to_the_loss_if_weight_decay_is_unsupported(kind: Any, expected: bool) -> None:
    assert penalizes(kind) is expected


@pytest.mark.parametrize(
    ("kind", "l2", "message"),
    [
        (Adam, -1.0, "regularization.l2 must be finite and at least 0, not -1.0"),
        (partial(Adam, lr=-1.0), 0.0, "optimizer: Invalid learning rate: -1.0"),
        (partial(SGD, nesterov=True), 0.0, "optimizer: Nesterov momentum requires a momentum"),
        (partial(AdamW, weight_decay=0.1), 0.0, "set regularization.l2"),
    ],
)
def test_invalid_optimizer_is_rejected(kind: Any, l2: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_optimizer(kind, build_model(), l2)


def test_fused_is_used_if_requested_and_supported() -> None:
    fused = partial(Adam, fused=True)
    assert build_optimizer(fused, build_model()).param_groups[0]["fused"] is True
    assert build_optimizer(fused, build_model(), fused=False).param_groups[0]["fused"] is False
    assert not build_optimizer(Adam, build_model()).param_groups[0]["fused"]
    mixed = build_model()
    mixed.extra = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    assert build_optimizer(fused, mixed).param_groups[0]["fused"] is False


# Combined optimizers.


def test_partition_splits_parameters_and_groups() -> None:
    a, b, c = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (2,), (3, 3)))
    sides = partition(
        [{"params": [a, b], "weight_decay": 0.1}, {"params": [c], "weight_decay": 0.0}], lambda p: p.ndim == 2
    )
    assert [[len(group["params"]) for group in side] for side in sides] == [[1, 1], [1]]
    assert [group["weight_decay"] for group in sides[0]] == [0.1, 0.0]
    assert [len(side) for side in partition([a, b, c], lambda p: p.ndim == 3)] == [0, 1]
    assert [len(side) for side in partition(iter([a, b]), lambda p: p.ndim == 2)] == [1, 1]


def test_muon_optimizes_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2, 2))
    optimizer = build_optimizer(partial(Muon, lr=0.01), model, l2=0.1)
    assert isinstance(optimizer, Muon)
    sizes = {type(each): sum(len(g["params"]) for g in each.param_groups) for each in optimizer.optimizers}
    assert sizes == {torch.optim.Muon: 1, AdamW: 3}
    decays = {tuple(p.shape): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {(2, 2): 0.1, (2, 1, 3, 3): 0.1, (2,): 0.0}
    assert all(group["lr"] == 0.01 for group in optimizer.param_groups)


def test_muon_updates_are_nearly_orthogonal() -> None:
    matrix = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([matrix], lr=1.0, momentum=0.0)
    torch.manual_seed(0)
    matrix.grad = torch.linalg.qr(torch.randn(8, 8))[0] * torch.logspace(0, -1, 8)  # Singular values from 1 to 0.1.
    optimizer.step()
    values = torch.linalg.svdvals(matrix.detach())
    assert values.max() / values.min() < 2


def test_sparse_adam_updates_only_the_rows_of_the_batch() -> None:
    model = build_model(sparse=True)
    before = model.embedding.weight.detach().clone()
    optimizer = build_optimizer(partial(SparseAdam, lr=0.1), model)
    assert isinstance(optimizer, SparseAdam)
    assert [type(each) for each in optimizer.optimizers] == [torch.optim.SparseAdam, Adam]
    model(torch.tensor([[3, 5, 5]])).sum().backward()
    optimizer.step()
    changed = (model.embedding.weight != before).any(1)
    assert changed.nonzero().flatten().tolist() == [3, 5]


def test_schedule_applies_to_every_combined_optimizer() -> None:
    model = build_model()
    optimizer = build_optimizer(partial(Muon, lr=0.1), model)
    assert isinstance(optimizer, Chained)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    train(model, optimizer, 1)
    scheduler.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.param_groups[1]["lr"] = 0.0
    before = [p.detach().clone() for p in model.parameters()]
    train(model, optimizer, 1)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert {each.param_groups[0]["lr"] for each in optimizer.optimizers} == {0.0}


@pytest.mark.parametrize("sparse", [True, False])
def test_row_clipped_sgd_clips_the_sum_over_the_occurrences_of_a_row(sparse: bool) -> None:
    embedding = torch.nn.Embedding(5, 2, sparse=sparse)
    before = embedding.weight.detach().clone()
    (embedding(torch.tensor([1, 1, 1, 3])) * torch.tensor([3.0, 4.0])).sum().backward()
    RowClippedSGD([embedding.weight], lr=0.1, max_row_norm=10.0).step()
    change = embedding.weight.detach() - before
    assert torch.allclose(change[3], torch.tensor([-0.3, -0.4]))  # A norm of 5 is not clipped,
    assert torch.allclose(change[1], torch.tensor([-0.6, -0.8]), atol=1e-6)  # but one of 15 is.
    assert not change[[0, 2, 4]].any()


@pytest.mark.parametrize(("name", "value"), [("lr", -1.0), ("max_row_norm", 0.0)])
def test_row_clipped_sgd_rejects_invalid_settings(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"optimizer.{name} must be"):
        RowClippedSGD([torch.nn.Parameter(torch.ones(2))], **{name: value})
