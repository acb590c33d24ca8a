"""Recorded gradient norms match autograd, and recording does not affect training."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from primer.batch import Batch
from primer.callbacks import Gradients
from primer.callbacks.gradients import by_distance, distances_of
from primer.data.images.digits import Digits
from primer.data.text.dates import Dates
from primer.errors import InputError
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.rnn import RNN
from primer.optim.chained import SparseAdam
from primer.spec import Classes, Series, Spec, Tags, Tokens, Values

Trainer = Callable[..., L.Trainer]
SPEC = Spec(Series(2), Values(("y",)))
SERIES = Batch(torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([[1.0], [-2.0], [0.5]]))
PADDED = SERIES._replace(lengths=torch.tensor([4, 6, 1]))


class MemoryLogger(Logger):
    """Keeps all metrics in memory."""

    name, version = "memory", ""

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[dict[str, float]] = []

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged.append(metrics)


class Batches:
    """A data loader over the given batches."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def frozen(model: Any) -> Any:
    """Sets double precision and a learning rate of 0, so that all steps have the same gradients."""
    model.optimizer = partial(torch.optim.SGD, lr=0.0)
    return model.double()


def read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "gradients.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def as_double(batch: Batch) -> Batch:
    assert batch.targets is not None
    return batch._replace(inputs=batch.inputs.double(), targets=batch.targets.double())


def fitted(trainer: Trainer, folder: Path, model: Any, batches: list[Batch], every: int = 1, **settings: Any) -> Any:
    callback = Gradients(folder, every)
    loader = Batches(*(as_double(batch) for batch in batches))
    trainer(**{"max_epochs": 1, "callbacks": [callback], **settings}).fit(model, loader)
    return callback


def by_hand(model: RNN, batch: Batch) -> tuple[dict[str, float], list[float]]:
    """Returns the norms by layer and by distance, computed with the equations of the network and autograd."""
    layer: Any = model.recurrence.layers[0]
    inputs = [row.double().requires_grad_() for sample in batch.inputs for row in sample]
    lengths = [6, 6, 6] if batch.lengths is None else batch.lengths.tolist()
    outputs = []
    for k, length in enumerate(lengths):
        hidden = torch.zeros(3, dtype=torch.double)
        for x in inputs[6 * k : 6 * k + length]:
            hidden = (layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.weight_hh_l0 @ hidden + layer.bias_hh_l0).tanh()
        outputs.append(model.head.weight @ hidden + model.head.bias)
    assert batch.targets is not None
    loss = F.mse_loss(torch.stack(outputs), batch.targets.double())
    weights = [*layer.parameters(), *model.head.parameters()]
    gradients = torch.autograd.grad(loss, [*weights, *inputs], allow_unused=True)
    layers = gradients[:4], gradients[4:6]
    norms = [torch.cat([g.flatten() for g in layer if g is not None]).norm() for layer in layers]
    by_input = gradients[6:]
    distances = []
    for distance in range(max(lengths)):
        steps = [by_input[6 * k + length - 1 - distance] for k, length in enumerate(lengths) if length > distance]
        distances.append(sum(g.norm().item() for g in steps if g is not None) / len(steps))
    return {"recurrence.layers.0": norms[0].item(), "head": norms[1].item()}, distances


@pytest.mark.parametrize("batch", [SERIES, PADDED], ids=["all steps real", "packed"])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_norms_match_autograd(batch: Batch, accumulated: int, quiet_trainer: Trainer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = frozen(RNN(SPEC, hidden_size=3, bidirectional=False))
    layers, distances = by_hand(model, batch)
    fitted(quiet_trainer, tmp_path, model, [batch] * 4, accumulate_grad_batches=accumulated)
    recorded = read_rows(tmp_path)
    steps = range(4 // accumulated)
    for name, norm in layers.items():
        of_layer = [row for row in recorded if row["layer"] == name]
        assert [int(row["step"]) for row in of_layer] == list(steps)
        assert [float(row["norm"]) for row in of_layer] == pytest.approx([norm] * len(steps))
    of_input = [row for row in recorded if row["layer"] == "recurrence input"]
    assert [int(row["distance"]) for row in of_input] == list(range(6))
    assert [float(row["norm"]) for row in of_input] == pytest.approx(distances)
    assert {row["step"] for row in of_input} == {str(4 // accumulated)}
    assert min(distances) > 0


@pytest.mark.parametrize("accumulated", [1, 2, 3])  # With 3, the step has fewer batches.
def test_norms_of_batches_of_different_sizes(accumulated: int, quiet_trainer: Trainer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = frozen(RNN(SPEC, hidden_size=3, bidirectional=False))
    single = Batch(*(tensor[2:] for tensor in PADDED))  # type: ignore[misc,arg-type]
    both = Batch(*(torch.cat(tensors) for tensors in zip(single, PADDED, strict=True)))  # type: ignore[arg-type]
    of_single, of_padded, of_both = (by_hand(model, batch) for batch in (single, PADDED, both))
    fitted(quiet_trainer, tmp_path, model, [single, PADDED], accumulate_grad_batches=accumulated)
    # A layer has the norm of the gradient of each step; a distance has the mean over the sequences of an epoch.
    for layer, norm in of_both[0].items():
        expected = [of_single[0][layer], of_padded[0][layer]] if accumulated == 1 else [norm]
        assert [float(row["norm"]) for row in read_rows(tmp_path) if row["layer"] == layer] == pytest.approx(expected)
    norms = [float(row["norm"]) for row in read_rows(tmp_path) if row["distance"]]
    first, *rest = of_padded[1]
    assert norms == pytest.approx([(3 * first + of_single[1][0]) / 4, *rest])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_encoder_of_an_encoder_decoder_is_recorded(bidirectional: bool, quiet_trainer: Trainer, tmp_path: Path) -> None:
    data = Dates(samples=60, batch_size=16).prepare()
    model = Seq2Seq(data.spec, embedding_size=4, hidden_size=4, attention="none", bidirectional=bidirectional)
    quiet_trainer(max_epochs=1, callbacks=[Gradients(tmp_path, 1)]).fit(model, data)
    norms = {int(row["distance"]): float(row["norm"]) for row in read_rows(tmp_path) if row["distance"]}
    longest = int(data.parts["train"].lengths.max())  # type: ignore[union-attr]
    assert list(norms) == list(range(longest))
    assert all(norm > 0 for norm in norms.values())


def test_distances_of_packed_steps() -> None:
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.zeros(3, 6, 1), torch.tensor([4, 6, 1]), batch_first=True, enforce_sorted=False
    )
    assert distances_of(packed).tolist() == [5, 3, 0, 4, 2, 3, 1, 2, 0, 1, 0]
    assert distances_of(torch.zeros(2, 3, 1)).tolist() == [2, 1, 0, 2, 1, 0]
    sums = [torch.tensor([[4.0], [2.0]]), torch.tensor([[2.0, 3.0], [1.0, 3.0]])]
    assert by_distance(sums).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("every", [3, 100])
def test_steps_between_recordings(every: int, quiet_trainer: Trainer, tmp_path: Path) -> None:
    model = frozen(RNN(SPEC, hidden_size=3))
    callback = fitted(quiet_trainer, tmp_path, model, [SERIES] * 5, every, max_epochs=2)
    steps = {row.step for row in callback.rows if row.distance is None}
    assert steps == set(range(0, 10, every))
    assert not model.recurrence._forward_pre_hooks


@pytest.mark.parametrize(("kind", "bidirectional"), [(RNN, False), (LSTM, True), (GRU, True)])
def test_recording_does_not_change_training(
    kind: Any, bidirectional: bool, quiet_trainer: Trainer, tmp_path: Path
) -> None:
    tokens = torch.randint(2, 9, (4, 5), generator=torch.Generator().manual_seed(0))
    batch = Batch(tokens, tokens % 3, torch.tensor([5, 5, 5, 5]))
    spec = Spec(Tokens(tuple("abcdefghi")), Tags(("x", "y", "z")))
    trained = []
    for callbacks in ([], [Gradients(tmp_path, 1)]):
        torch.manual_seed(0)
        model = kind(spec, num_layers=2, dropout=0.3, bidirectional=bidirectional)
        quiet_trainer(max_epochs=3, callbacks=callbacks).fit(model, Batches(batch, batch))
        trained.append(model.state_dict())
    assert all(torch.equal(value, trained[1][name]) for name, value in trained[0].items())
    layers = {row["layer"] for row in read_rows(tmp_path)}
    assert layers == {"embedding.words", "recurrence.layers.0", "recurrence.layers.1", "head", "recurrence input"}


def test_non_recurrent_networks_record_layers_only_and_log_means(quiet_trainer: Trainer, tmp_path: Path) -> None:
    data, memory = Digits(train_size=100, batch_size=20).prepare(), MemoryLogger()
    model = MLP(data.spec, hidden_sizes=(8,))
    callback = Gradients(tmp_path, 2)
    trainer = quiet_trainer(max_epochs=2, callbacks=[callback], logger=memory, log_every_n_steps=1)
    trainer.fit(model, data)
    layers = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert {row.layer for row in callback.rows} == layers
    assert all(row.norm > 0 and row.distance is None for row in callback.rows)
    logged = [metrics for metrics in memory.logged if "gradients/head" in metrics]
    assert [metrics["epoch"] for metrics in logged] == [0, 1]
    heads = [row.norm for row in callback.rows if row.layer == "head"]
    assert [metrics["gradients/head"] for metrics in logged] == pytest.approx([sum(heads[:3]) / 3, sum(heads[3:]) / 2])
    assert not any(name.startswith("gradients/") for name in trainer.callback_metrics)
    assert (tmp_path / "pictures" / "gradients.png").read_bytes().startswith(b"\x89PNG")


def test_frozen_layers_are_skipped_and_sparse_gradients_recorded(quiet_trainer: Trainer, tmp_path: Path) -> None:
    spec = Spec(Tokens(tuple("abcdefghi")), Classes(("x", "y")))
    model = RNN(spec, embedding_size=4, hidden_size=3, sparse=True)
    model.optimizer = partial(SparseAdam, lr=0.1)
    model.head.requires_grad_(False)
    tokens = torch.tensor([[2, 2, 3], [4, 2, 5]])
    loader = Batches(Batch(tokens, torch.tensor([0, 1])))
    quiet_trainer(max_epochs=1, callbacks=[Gradients(tmp_path, 1)]).fit(model, loader)
    norms = {row["layer"]: float(row["norm"]) for row in read_rows(tmp_path) if not row["distance"]}
    assert norms.keys() == {"embedding.words", "recurrence.layers.0"}
    gradient = model.embedding.words.weight.grad  # type: ignore[union-attr]
    assert gradient is not None
    assert gradient.is_sparse
    assert norms["embedding.words"] == pytest.approx(gradient.to_dense().norm().item())


class NoSynchronization(TorchDispatchMode):
    """Fails on operations that synchronize with the device: the conversion of a tensor to a number."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("batch", [SERIES, PADDED], ids=["all steps real", "packed"])
def test_steps_do_not_synchronize_with_the_device(batch: Batch, tmp_path: Path) -> None:
    model, callback = RNN(SPEC, hidden_size=3), Gradients(tmp_path, 1)
    trainer: Any = SimpleNamespace(
        global_step=0, accumulate_grad_batches=1, precision_plugin=SimpleNamespace(), is_global_zero=True
    )
    callback.on_train_batch_start(trainer, model, batch, 0)
    loss = model.objective.loss(model.forward_batch(batch), batch.targets)[0]  # type: ignore[arg-type]
    with NoSynchronization():
        loss.backward()
        callback.on_before_optimizer_step(trainer, model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert len(callback._records) == len(callback._sums) == 1


@pytest.mark.parametrize("fused", [False, True])
def test_loss_scale_is_undone(fused: bool, tmp_path: Path) -> None:
    """A scaler multiplies the loss by 8; gradients stay scaled only for optimizers that unscale them in their step."""
    torch.manual_seed(0)
    model, callback = RNN(SPEC, hidden_size=3), Gradients(tmp_path, 1)
    scaler = SimpleNamespace(get_scale=lambda: 8.0)
    trainer: Any = SimpleNamespace(
        global_step=0, accumulate_grad_batches=1, precision_plugin=SimpleNamespace(scaler=scaler)
    )
    optimizer: Any = SimpleNamespace(_step_supports_amp_scaling=fused)
    callback.on_train_batch_start(trainer, model, SERIES, 0)
    (8 * model.objective.loss(model.forward_batch(SERIES), SERIES.targets)[0]).backward()  # type: ignore[arg-type]
    if not fused:
        for parameter in model.parameters():
            parameter.grad /= 8  # type: ignore[operator]
    callback.on_before_optimizer_step(trainer, model, optimizer)
    norms: Tensor = callback._records[0].norms
    scaled = callback._sums[0]
    model.zero_grad()
    plain = SimpleNamespace(**{**vars(trainer), "precision_plugin": SimpleNamespace()})
    callback.on_train_batch_start(plain, model, SERIES, 0)  # type: ignore[arg-type]
    model.objective.loss(model.forward_batch(SERIES), SERIES.targets)[0].backward()  # type: ignore[arg-type]
    callback.on_before_optimizer_step(plain, model, optimizer)  # type: ignore[arg-type]
    torch.testing.assert_close(norms, callback._records[1].norms)
    torch.testing.assert_close(scaled, callback._sums[1])


def test_every_n_steps_must_be_positive() -> None:
    with pytest.raises(InputError, match="every_n_steps must be at least 1, not 0"):
        Gradients("unused", 0)
