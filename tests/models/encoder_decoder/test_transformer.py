"""The Transformer: its cache, its searches, padding, and attention weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from primer.batch import Batch
from primer.data.text.dates import Dates
from primer.errors import InputError
from primer.models.encoder_decoder.transformer import Transformer, sinusoids
from primer.spec import IGNORE, PADDING

every_variant = pytest.mark.parametrize("settings", [{}, {"norm_first": False}, {"qk_norm": True}], ids=str)


@pytest.fixture(scope="module")
def data() -> Dates:
    return Dates(samples=60).prepare()


@pytest.fixture
def batch(data: Dates) -> Batch:
    return data.parts["train"].select(slice(0, 8))  # type: ignore[union-attr]


def build(data: Dates, **settings: Any) -> Transformer:
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "num_encoder_layers": 2, "num_decoder_layers": 2}
    model = Transformer(data.spec, **(small | settings)).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embedding" not in name:
            nn.init.normal_(parameter, std=0.4)  # Make the output depend strongly on the inputs.
    return model


def targets_of(batch: Batch) -> Tensor:
    assert batch.targets is not None
    return batch.targets


@every_variant
def test_the_cache_equals_a_full_pass(data: Dates, batch: Batch, settings: dict[str, Any]) -> None:
    model = build(data, **settings)
    memory, state = model.encode(batch.inputs, batch.lengths)
    tokens, steps = model.shift_right(targets_of(batch)), []
    whole, _ = model.decode(tokens, None, memory)
    for token in tokens.split([3, 1, 1, tokens.shape[1] - 5], dim=1):
        logits, state = model.decode(token, state, memory)
        steps.append(logits)
    assert (torch.cat(steps, dim=1) - whole).abs().max() < 1e-5
    torch.testing.assert_close(model.forward_batch(batch), whole)


@every_variant
def test_no_step_sees_a_later_token(data: Dates, batch: Batch, settings: dict[str, Any]) -> None:
    model, targets = build(data, **settings), targets_of(batch)
    before = model.forward_batch(batch)
    for step in range(targets.shape[1] - 1):
        changed = targets.clone()
        changed[:, step:] = 4 + (changed[:, step:] - 3) % 5
        after = model.forward_batch(batch._replace(targets=changed))
        assert torch.equal(before[:, : step + 1], after[:, : step + 1])
        assert not torch.equal(before[:, step + 1], after[:, step + 1])


@every_variant
def test_padding_and_batch_size_change_nothing(data: Dates, settings: dict[str, Any]) -> None:
    model, part = build(data, max_length=9, beam_size=3, **settings), data.parts["val"]
    assert isinstance(part, Batch)
    assert part.lengths is not None
    assert len(part.lengths.unique()) > 2
    wider = part._replace(inputs=nn.functional.pad(part.inputs, (0, 5)))
    with torch.no_grad():
        expected, found = model.search(part), model.search(wider)
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1], expected[1])
        torch.testing.assert_close(model.forward_batch(wider), model.forward_batch(part))
        for row in range(part.size):
            tokens, score = model.search(part.select(slice(row, row + 1)))
            torch.testing.assert_close(score[0], expected[1][row])
            assert torch.equal(tokens[0], expected[0][row, : tokens.shape[1]])
            assert not expected[0][row, tokens.shape[1] :].any()


@every_variant
def test_a_beam_of_one_equals_greedy_decoding(data: Dates, batch: Batch, settings: dict[str, Any]) -> None:
    model = build(data, max_length=12, **settings)
    greedy, (searched, _) = model.predict_batch(batch), model.search(batch)
    assert torch.equal(greedy, searched[:, : greedy.shape[1]])
    assert not searched[:, greedy.shape[1] :].any()
    forced = model.forward_batch(batch._replace(targets=model(batch.inputs, batch.lengths).argmax(-1)))
    torch.testing.assert_close(model(batch.inputs, batch.lengths), forced)


def test_overfits_one_batch_and_decodes_it(data: Dates, batch: Batch) -> None:
    torch.manual_seed(0)
    model = Transformer(data.spec, 32, 2, 2, 2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.step(batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    model.eval()
    targets = targets_of(batch)
    expected = targets.where(targets != IGNORE, PADDING)
    assert torch.equal(model.predict_batch(batch)[:, : targets.shape[1]], expected)
    model.beam_size = 3
    assert torch.equal(model.predict_batch(batch)[:, : targets.shape[1]], expected)


def test_align_returns_the_weights_of_the_last_block(data: Dates, batch: Batch) -> None:
    model = build(data)
    tokens = model.predict_batch(batch)
    heads, weights = model.attention_heads(batch, tokens), model.align(batch, tokens)
    assert batch.lengths is not None
    assert heads.shape == (8, len(model.decoder), 2, tokens.shape[1], batch.inputs.shape[1])
    torch.testing.assert_close(weights, heads[:, -1].mean(1))
    torch.testing.assert_close(weights.sum(-1), torch.ones(tokens.shape))
    for row, length in zip(weights, batch.lengths.tolist(), strict=True):
        assert not row[:, length:].any()


def test_the_output_layer_shares_the_target_embedding(data: Dates) -> None:
    model = build(data)
    assert model.head.weight is model.target_embedding.weight
    untied = build(data, tie_embeddings=False)
    more = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in model.parameters())
    assert more == model.head.weight.numel()


def test_positions_are_those_of_the_paper() -> None:
    found = sinusoids(3, 2, 6)
    for row, position in enumerate((3, 4)):
        for pair in range(3):
            angle = torch.tensor(position / 10_000 ** (2 * pair / 6))
            torch.testing.assert_close(found[row, 2 * pair : 2 * pair + 2], torch.stack([angle.sin(), angle.cos()]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"num_heads": 3}, "hidden_size=16 must be a multiple of num_heads=3"),
        ({"num_decoder_layers": 0}, "num_decoder_layers must be at least 1, not 0"),
        ({"length_normalization": -1.0}, "length_normalization must be at least 0, not -1.0"),
    ],
)
def test_settings_out_of_range_are_errors(data: Dates, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(data, **settings)
