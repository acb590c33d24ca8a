"""The recurrent encoder-decoder."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from primer.batch import Batch
from primer.data.base import Part, Records
from primer.data.text.pairs import Pairs, padded
from primer.errors import InputError
from primer.models.encoder_decoder.seq2seq import Seq2Seq
from primer.spec import IGNORE, PADDING, Classes, Spec, Tokens

ATTENTIONS, CELLS = ("none", "additive", "dot"), ("gru", "lstm")
every_variant = pytest.mark.parametrize(("attention", "cell"), list(itertools.product(ATTENTIONS, CELLS)))


class Reversed(Pairs):
    """Words of one to eight letters from an alphabet of five, to be reversed."""

    def read(self) -> dict[Part, Records]:
        generator = random.Random(0)
        words = {"".join(generator.choices("abcde", k=generator.randint(1, 8))): None for _ in range(100)}
        return {"train": [(word, word[::-1]) for word in words]}


@pytest.fixture(scope="module")
def data() -> Reversed:
    return Reversed().prepare()


@pytest.fixture
def batch(data: Reversed) -> Batch:
    return data.parts["train"].select(slice(0, 12))


def build(data: Reversed, **settings: Any) -> Any:
    torch.manual_seed(0)
    small: dict[str, Any] = {"embedding_size": 8, "hidden_size": 16}
    return Seq2Seq(data.spec, **(small | settings)).eval()


def fit(model: Seq2Seq, batch: Batch, steps: int = 120, lr: float = 0.02) -> float:
    """Trains on one batch and returns the final loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    model.train()
    loss = torch.zeros(())
    for _ in range(steps):
        optimizer.zero_grad()
        loss, _ = model.objective.loss(model.forward_batch(batch), targets_of(batch))
        loss.backward()
        optimizer.step()
    model.eval()
    return loss.item()


@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_output_shapes(
    data: Reversed, batch: Batch, attention: str, cell: str, bidirectional: bool, num_layers: int
) -> None:
    model = build(data, attention=attention, cell=cell, bidirectional=bidirectional, num_layers=num_layers)
    targets = targets_of(batch)
    assert model.forward_batch(batch).shape == (*targets.shape, model.outputs)
    logits, tokens = model(batch.inputs, batch.lengths), model.predict_batch(batch)
    assert logits.shape == (*tokens.shape, model.outputs)
    assert len(tokens) == batch.size
    assert tokens.dtype == torch.int64


@every_variant
def test_overfits_one_batch_and_decodes_it(data: Reversed, batch: Batch, attention: str, cell: str) -> None:
    model = build(data, attention=attention, cell=cell, hidden_size=32)
    assert fit(model, batch) < 0.05
    predicted, targets = model.predict_batch(batch), targets_of(batch)
    steps = min(predicted.shape[1], targets.shape[1])
    assert torch.equal(predicted[:, :steps], targets[:, :steps].where(targets[:, :steps] != IGNORE, PADDING))
    values = evaluate(model, [batch])
    assert (values["exact_match"], values["edit_distance_rate"], values["token_accuracy"]) == (1, 0, 1)


@every_variant
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_and_batch_size_do_not_change_the_outputs(
    data: Reversed, attention: str, cell: str, bidirectional: bool
) -> None:
    model = build(data, attention=attention, cell=cell, bidirectional=bidirectional, num_layers=2)
    fit(model, data.parts["train"], steps=15)  # Partly trained, so that only some sequences end.
    assert_invariant_to_batching(model, data.parts["val"])


@pytest.mark.parametrize("beam_size", [1, 2])
def test_padding_and_batch_size_do_not_change_endless_outputs(data: Reversed, beam_size: int) -> None:
    model, part = build(data, beam_size=beam_size), data.parts["val"]
    model.head[-1].bias.data[[PADDING, model.end]] = -30
    max_lengths = model.max_lengths(part.inputs, part.lengths)
    assert len(max_lengths.unique()) > 2  # Each row has its own maximum length.
    assert [len(row) for row in trimmed(model.predict_batch(part))] == max_lengths.tolist()
    assert_invariant_to_batching(model, part)


def test_padding_embeddings_have_no_gradient(data: Reversed, batch: Batch) -> None:
    model = build(data)
    model.objective.loss(model.forward_batch(batch), targets_of(batch))[0].backward()
    for embedding in (model.source_embedding, model.target_embedding):
        assert embedding.weight.grad is not None
        assert embedding.weight.grad.any()
        assert not embedding.weight.grad[PADDING].any()


@every_variant
def test_the_decoder_does_not_see_the_future(data: Reversed, batch: Batch, attention: str, cell: str) -> None:
    model = build(data, attention=attention, cell=cell)
    targets = targets_of(batch).where(targets_of(batch) != IGNORE, 4)
    before = model.forward_batch(batch._replace(targets=targets))
    for step in range(targets.shape[1] - 1):
        changed = targets.clone()
        changed[:, step] = 4 + (changed[:, step] - 3) % 5
        after = model.forward_batch(batch._replace(targets=changed))
        assert torch.equal(before[:, : step + 1], after[:, : step + 1])
        assert not torch.isclose(before[:, step + 1], after[:, step + 1]).all(dim=-1).any()


@every_variant
def test_greedy_decoding_equals_teacher_forcing_with_its_own_outputs(
    data: Reversed, batch: Batch, attention: str, cell: str
) -> None:
    model = build(data, attention=attention, cell=cell, max_length=7)
    logits = model(batch.inputs, batch.lengths)
    forced = model.forward_batch(batch._replace(targets=logits.argmax(-1)))
    assert torch.allclose(logits, forced, atol=1e-5)


@every_variant
def test_learns_from_its_own_predictions_without_teacher_forcing(
    data: Reversed, batch: Batch, attention: str, cell: str
) -> None:
    model = build(data, attention=attention, cell=cell, teacher_forcing=0.0).train()
    outputs = model.forward_batch(batch)
    other_targets = batch._replace(targets=torch.where(targets_of(batch) == IGNORE, IGNORE, 4))
    assert torch.equal(outputs, model.forward_batch(other_targets))
    model.objective.loss(outputs, targets_of(batch))[0].backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert fit(model, batch, steps=60) < 1.2 < -torch.tensor(1 / 6).log()  # The latter: a uniform prediction.


@every_variant
def test_teacher_forcing_step_by_step_equals_a_single_call(
    data: Reversed, batch: Batch, attention: str, cell: str
) -> None:
    model = build(data, attention=attention, cell=cell).train()
    whole = model.forward_batch(batch)
    model.teacher_forcing = 1 - 1e-9
    assert torch.allclose(whole, model.forward_batch(batch), atol=1e-6)
    model.teacher_forcing = 0.5
    assert not torch.allclose(whole, model.forward_batch(batch), atol=1e-3)
    model.eval()
    assert torch.equal(whole, model.forward_batch(batch))


@every_variant
def test_align_returns_the_attention_weights_of_each_token(
    data: Reversed, batch: Batch, attention: str, cell: str
) -> None:
    model = build(data, attention=attention, cell=cell)
    tokens = model.predict_batch(batch)
    weights = model.align(batch, tokens)
    if attention == "none":
        assert weights is None
        return
    memory, state = model.encode(batch.inputs, batch.lengths)
    token = torch.full_like(tokens[:, :1], model.start)
    for step in range(tokens.shape[1]):
        _, state, step_weights = model.decode_with_attention(token, state, memory)
        assert torch.allclose(weights[:, step : step + 1], step_weights, atol=1e-6)
        token = tokens[:, step : step + 1]


@every_variant
def test_validation_decodes_greedily_and_testing_uses_beam_search(
    data: Reversed, batch: Batch, attention: str, cell: str, monkeypatch: pytest.MonkeyPatch, quiet_trainer
) -> None:
    model, searched = build(data, attention=attention, cell=cell, beam_size=3), []
    search = model.search
    monkeypatch.setattr(model, "search", lambda batch: searched.append(batch.size) or search(batch))
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, datamodule=data)
    assert searched == []
    trainer.validate(model, datamodule=data, verbose=False)
    assert searched == []
    trainer.test(model, datamodule=data, verbose=False)
    assert searched == [data.parts["test"].size]
    assert torch.equal(model.eval().predict_batch(batch), search(batch)[0])


def test_alternative_references_do_not_affect_the_loss(data: Reversed, batch: Batch) -> None:
    model = build(data)
    expected, count = model.objective.loss(model.forward_batch(batch), targets_of(batch))
    rows = [[token for token in row if token != IGNORE] for row in targets_of(batch).tolist()]
    references = padded([[*row, *row[::-1][1:], model.end, 5, model.end] for row in rows], IGNORE)
    loss, same_count = model.objective.loss(model.forward_batch(batch._replace(targets=references)), references)
    assert same_count == count
    assert torch.allclose(loss, expected, atol=1e-6)


def test_decoding_stops_when_all_rows_end_or_reach_their_maximum_length(data: Reversed, batch: Batch) -> None:
    model = build(data)
    head = model.head[-1]
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.eye(model.outputs)[model.end]
    assert model(batch.inputs, batch.lengths).shape[1] == 1
    assert (model.predict_batch(batch) == model.end).all()
    head.bias.data = torch.eye(model.outputs)[5]
    assert batch.lengths is not None
    assert [len(row) for row in trimmed(model.predict_batch(batch))] == (2 * batch.lengths + 10).tolist()
    model.max_length = 4
    assert trimmed(model.predict_batch(batch)) == [[5] * 4] * batch.size


def test_lengths_are_optional_without_padding(data: Reversed, batch: Batch) -> None:
    assert batch.lengths is not None
    model, inputs = build(data), batch.inputs[batch.lengths == batch.lengths.max()]
    lengths = torch.full((len(inputs),), inputs.shape[1])
    assert torch.allclose(model(inputs), model(inputs, lengths), atol=1e-6)


@every_variant
def test_an_exported_graph_decodes_to_the_maximum_length(
    data: Reversed, batch: Batch, attention: str, cell: str
) -> None:
    model = build(data, attention=attention, cell=cell, max_length=3)
    inputs = batch.inputs[:2, :1]
    exported = torch.export.export(model, (inputs,), strict=False).module()(inputs)
    logits = model(inputs)
    assert exported.shape[1] == 3
    assert torch.allclose(exported[:, : logits.shape[1]], logits, atol=1e-6)


@every_variant
def test_supports_bfloat16_autocast(data: Reversed, batch: Batch, attention: str, cell: str) -> None:
    model = build(data, attention=attention, cell=cell)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = model.objective.loss(model.forward_batch(batch), targets_of(batch))
        model.predict_batch(batch)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("initialization", ["xavier", "he", "normal", "zeros"])
def test_initialization_applies_to_the_encoder(data: Reversed, batch: Batch, initialization: str) -> None:
    model = build(data, initialization=initialization)
    assert model.forward_batch(batch).isfinite().all()
    assert model.encoder.weight_hh_l0.any() == (initialization != "zeros")
    assert not model.encoder.bias_hh_l0.any()


def test_dropout_applies_in_training_only(data: Reversed, batch: Batch) -> None:
    model = build(data, dropout=0.5, num_layers=2)
    assert torch.equal(model.forward_batch(batch), model.forward_batch(batch))
    model.train()
    assert not torch.equal(model.forward_batch(batch), model.forward_batch(batch))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"embedding_size": -1}, "embedding_size must be at least 1, not -1"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
        ({"beam_size": 0}, "beam_size must be at least 1, not 0"),
        ({"length_normalization": -1.0}, "length_normalization must be at least 0, not -1.0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, not 1.0"),
        ({"teacher_forcing": 1.5}, "teacher_forcing must be from 0 to 1, not 1.5"),
        ({"teacher_forcing_end": -0.5}, "teacher_forcing_end must be from 0 to 1, not -0.5"),
        ({"cell": "rnn"}, "cell"),
        ({"attention": "luong"}, "attention"),
        ({"initialization": "best"}, "initialization"),
    ],
)
def test_invalid_settings_are_errors(data: Reversed, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        build(data, **settings)


def test_targets_other_than_sequences_are_an_error() -> None:
    with pytest.raises(InputError, match="Seq2Seq does not accept targets of type Classes"):
        Seq2Seq(Spec(Tokens(("<pad>", "<unk>", "a")), Classes(("good", "bad"))))


def targets_of(batch: Batch) -> Tensor:
    assert batch.targets is not None
    return batch.targets


def evaluate(model: Seq2Seq, batches: list[Batch]) -> dict[str, float]:
    """Computes loss and metrics over several batches, weighted as in an evaluation loop."""
    metrics, total, count = model.objective.metrics(), 0.0, 0
    with torch.no_grad():
        for batch in batches:
            outputs = model.forward_batch(batch)
            loss, number = model.objective.loss(outputs, targets_of(batch))
            total, count = total + loss.item() * int(number), count + int(number)
            metrics.update(model.predict_batch(batch, outputs), targets_of(batch))
    return {"loss": total / count} | {name: value.item() for name, value in metrics.compute().items()}


def assert_invariant_to_batching(model: Seq2Seq, part: Batch) -> None:
    """Checks that predictions and metrics do not change with the batch size or with additional padding."""
    assert part.size > 5
    samples = [part.select(slice(row, row + 1)) for row in range(part.size)]
    wider = Batch(
        torch.nn.functional.pad(part.inputs, (0, 5)),
        torch.nn.functional.pad(targets_of(part), (0, 4), value=IGNORE),
        part.lengths,
    )
    expected = evaluate(model, [part])
    for batches in (samples, [wider], [part.select(slice(0, 4)), part.select(slice(4, None))]):
        assert evaluate(model, batches) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    rows = trimmed(model.predict_batch(part))
    assert trimmed(model.predict_batch(wider)) == rows
    assert [trimmed(model.predict_batch(sample))[0] for sample in samples] == rows


def trimmed(tokens: Tensor) -> list[list[int]]:
    """Returns the rows without trailing padding."""
    rows: list[list[int]] = tokens.tolist()
    for row in rows:
        while row and row[-1] == PADDING:
            row.pop()
    return rows
