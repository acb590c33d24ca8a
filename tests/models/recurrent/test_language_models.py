"""Language models on long sequences: carried states, metrics, and resuming."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from primer.batch import Batch
from primer.checkpoints.reading import load
from primer.checkpoints.resume import Resume
from primer.data.text.text import Text
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.recurrent import Recurrent
from primer.models.recurrent.rnn import RNN
from primer.run import building

TEXT = "".join(f"{k} and {k * k}, then {k % 7};\n" for k in range(150))

every_kind = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path


def text(folder: Path, **settings: Any) -> Text:
    sizes = {"batch_size": 4, "sequence_length": 20, "eval_streams": 3, **settings}
    return Text(path="corpus.txt", data_dir=folder, **sizes).prepare()


def build(data: Text, kind: type[Recurrent] = LSTM, **settings: Any) -> Recurrent:
    torch.manual_seed(0)
    return kind(data.spec, **{"embedding_size": 8, "hidden_size": 16, **settings})


def evaluate(model: Recurrent, data: Text, trainer: Any) -> dict[str, float]:
    return trainer().test(model, data, verbose=False)[0]


@every_kind
def test_sequence_length_does_not_change_the_metrics(kind: type[Recurrent], folder: Path, quiet_trainer: Any) -> None:
    whole = text(folder, sequence_length=10_000)
    model = build(whole, kind)
    expected = evaluate(model, whole, quiet_trainer)
    assert len(whole.test_dataloader()) == 1
    for settings in (
        {"sequence_length": 5},
        {"sequence_length": 50},
        {"sequence_length": 7, "eval_batch_size": 2, "batch_size": 9},
    ):
        data = text(folder, **settings)
        assert len(data.test_dataloader()) > 1
        assert evaluate(model, data, quiet_trainer) == pytest.approx(expected, rel=1e-5)


def test_metrics_include_all_tokens(folder: Path, quiet_trainer: Any) -> None:
    data = text(folder, eval_streams=1, sequence_length=11)
    model = build(data).eval()
    tokens = data.parts["test"].inputs  # type: ignore[union-attr]
    with torch.no_grad():
        logits = model(tokens[None, :-1])[0].double()
    total = -logits.log_softmax(-1).gather(1, tokens[1:, None]).sum().item()
    count, unknown = len(tokens) - 1, int((tokens == 1).sum())
    metrics = evaluate(model, data, quiet_trainer)
    assert unknown == 0
    assert metrics["test/loss"] == pytest.approx(total / count, rel=1e-5)
    assert metrics["test/perplexity"] == pytest.approx(math.exp(total / count), rel=1e-5)
    assert metrics["test/bits_per_character"] == pytest.approx(total / count / math.log(2), rel=1e-5)
    assert metrics["test/accuracy"] == pytest.approx((logits.argmax(-1) == tokens[1:]).double().mean().item(), rel=1e-5)


@every_kind
def test_the_state_is_carried_between_batches_without_its_gradient(kind: type[Recurrent], folder: Path) -> None:
    data = text(folder, eval_streams=2, sequence_length=6)
    model = build(data, kind, num_layers=2)
    model.train()
    batches = list(data.test_dataloader())
    outputs = []
    for batch in batches:
        model.on_train_batch_start(batch, batch_idx=1)
        outputs.append(model.forward_batch(batch))
        # Optimizers such as L-BFGS evaluate the same batch repeatedly.
        torch.testing.assert_close(model.forward_batch(batch), outputs[-1])
    for part in model._carried["train"]:
        for state in part if isinstance(part, tuple) else (part,):
            assert not state.requires_grad
    whole = model(torch.cat([batch.inputs for batch in batches], dim=1))
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole)
    # The last outputs depend on all batches, but their gradient reaches only the tokens of the last batch.
    outputs[-1].sum().backward()
    assert model.embedding is not None
    assert model.embedding.words.weight.grad is not None
    tokens = model.embedding.words.weight.grad.any(dim=1).nonzero().flatten()
    assert set(tokens.tolist()) == set(batches[-1].inputs.flatten().tolist())


def test_training_and_validation_carry_separate_states(folder: Path, quiet_trainer: Any) -> None:
    class RecordBatchSizes(L.Callback):
        def __init__(self) -> None:
            self.rows: list[dict[str, int]] = []

        def record(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            carried = pl_module._carried.items()
            self.rows.append({"train" if key == "train" else "val": state[0][0].shape[1] for key, state in carried})

        on_train_batch_end = on_validation_batch_end = record

    recorder, data = RecordBatchSizes(), text(folder, sequence_length=100)
    quiet_trainer(max_epochs=1, val_check_interval=2, callbacks=[recorder]).fit(build(data), data)
    assert recorder.rows[:4] == [{"train": 4}, {"train": 4}, {"train": 4, "val": 3}, {"train": 4, "val": 3}]
    assert {"train": 4} in recorder.rows[4:]  # The state is discarded after validation.
    assert len(data.val_dataloader()) == 2


def test_batches_are_independent_outside_of_a_run(folder: Path, quiet_trainer: Any) -> None:
    data = text(folder, sequence_length=100)
    model = build(data)
    batch = next(iter(data.test_dataloader()))
    expected = model(batch.inputs)
    smaller = Batch(*(tensor[:2] for tensor in batch[:2]))
    for stage in (None, "fit", "validate", "test", "predict"):
        if stage == "fit":
            quiet_trainer(max_epochs=1, max_steps=2, limit_val_batches=1).fit(model, data)
            expected = model.eval()(batch.inputs)
        elif stage == "predict":
            (first, *_) = quiet_trainer().predict(model, data.test_dataloader())
            assert torch.equal(first, expected.argmax(-1))
        elif stage:
            getattr(quiet_trainer(), stage)(model, data, verbose=False)
        for mode in (False, True):
            model.train(mode)
            for each in (batch, smaller, batch):
                torch.testing.assert_close(model.forward_batch(each), expected[: each.size])
        model.eval()
        assert torch.equal(model.predict_batch(smaller), expected[:2].argmax(-1))


def test_prediction_carries_the_state(folder: Path, quiet_trainer: Any) -> None:
    short, whole = text(folder, sequence_length=7), text(folder, sequence_length=10_000)
    model = build(short)
    for _ in range(2):
        parts, (expected,) = (quiet_trainer().predict(model, data.test_dataloader()) for data in (short, whole))
        assert len(parts) > 2
        assert torch.equal(torch.cat(parts, dim=1), expected)


def test_overfits_one_batch(folder: Path) -> None:
    data = text(folder, train_size=41, sequence_length=10)
    model = build(data, hidden_size=32).train()
    (batch,) = data.train_dataloader()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(150):
        loss, _ = model.objective.loss(model.forward_batch(batch), batch.targets)  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.1  # The first letters of the streams differ, but have no context to predict them.


class Stop(L.Callback):
    """Aborts a run after 12 steps."""

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step >= 12:
            raise InterruptedError


def run(trainer: Any, folder: Path, name: str, stop: bool = False, path: Path | None = None) -> Recurrent:
    """Trains for three epochs of 8 steps, with a checkpoint in the middle of the second."""
    building.seed_everything(5)
    data = text(folder, sequence_length=100, batch_size=3)
    assert len(data.train_dataloader()) == 8
    model = build(data, dropout=0.3, num_layers=2)
    saver = ModelCheckpoint(dirpath=folder / name, filename="{step}", save_top_k=-1, every_n_train_steps=9)
    callbacks = [Resume(), saver, *([Stop()] if stop else [])]
    fitter = trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=True)
    try:
        fitter.fit(model, data, ckpt_path=path, weights_only=True)
    except InterruptedError:
        assert stop
    return model


def test_a_resumed_run_equals_an_uninterrupted_run(folder: Path, quiet_trainer: Any) -> None:
    uninterrupted = run(quiet_trainer, folder, "uninterrupted")
    run(quiet_trainer, folder, "interrupted", stop=True)
    file = folder / "interrupted" / "step=9.ckpt"
    resumed = run(quiet_trainer, folder, "resumed", path=file)
    for (name, value), (_, expected) in zip(resumed.named_parameters(), uninterrupted.named_parameters(), strict=True):
        assert torch.equal(value, expected), name
    # Without the carried state, the run differs.
    content = torch.load(file, weights_only=True)
    kept = content["callbacks"]["Resume"]["model"]
    kept["carried"] = [tuple(0 * state for state in part) for part in kept["carried"]]
    torch.save(content, file)
    without_state = run(quiet_trainer, folder, "without_state", path=file)
    assert not torch.equal(without_state.head.weight, uninterrupted.head.weight)
    assert load(file).spec == uninterrupted.spec


@pytest.mark.parametrize(("before", "after", "kept"), [(1, 1, True), (2, 2, False), (2, 1, False), (1, 2, False)])
def test_the_carried_state_is_resumed_only_with_a_single_process(
    before: int, after: int, kept: bool, folder: Path
) -> None:
    model, batch = build(text(folder)).train(), Batch(torch.tensor([[2, 3, 4]]), torch.tensor([[3, 4, 5]]))
    model.forward_batch(batch)
    model._trainer = SimpleNamespace(world_size=before)  # type: ignore[assignment]
    state = model.resume_state()
    again = build(text(folder))
    again._trainer = SimpleNamespace(world_size=after)  # type: ignore[assignment]
    again.load_resume_state(state)
    assert ("train" in again._carried) is kept
