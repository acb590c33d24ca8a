"""The Transformer block equals PyTorch's, and its cache, masks and rotary positions do what they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from primer.errors import InputError
from primer.models.layers.multi_head_attention import (
    KeyValues,
    MultiHeadAttention,
    causal_mask,
    padding_mask,
    recorded_weights,
    rotate,
    rotation_at,
)
from primer.models.layers.transformer_block import FeedForward, TransformerBlock

SIZE, HEADS = 12, 3


def block(**settings: Any) -> TransformerBlock:
    torch.manual_seed(0)
    return TransformerBlock(SIZE, HEADS, 20, **settings).eval()


def copy_attention(theirs: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    for layer, weight, bias in zip((ours.query, ours.key, ours.value), weights, biases, strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    ours.output.load_state_dict(theirs.out_proj.state_dict())


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_block_equals_the_encoder_layer_of_pytorch(norm_first: bool, activation: str) -> None:
    ours = block(norm_first=norm_first, activation=activation)
    theirs = nn.TransformerEncoderLayer(
        SIZE, HEADS, 20, 0.0, activation, batch_first=True, norm_first=norm_first
    ).train()  # Otherwise, it takes a fast path of its own.
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    copy_attention(theirs.self_attn, ours.attention)
    for layer, source in (
        (ours.attention_norm, theirs.norm1), (ours.feedforward_norm, theirs.norm2),
        (ours.feedforward.expand, theirs.linear1), (ours.feedforward.contract, theirs.linear2),
    ):  # fmt: skip
        layer.load_state_dict(source.state_dict())
    x, lengths = torch.randn(4, 6, SIZE), torch.tensor([6, 1, 3, 6])
    real = torch.arange(6) < lengths[:, None]
    torch.testing.assert_close(ours(x)[0], theirs(x))
    torch.testing.assert_close(
        ours(x, mask=padding_mask(lengths, x))[0][real], theirs(x, src_key_padding_mask=~real)[real]
    )
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    torch.testing.assert_close(ours(x, causal=True)[0], theirs(x, mask, is_causal=True))


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_block_equals_the_decoder_layer_of_pytorch(norm_first: bool) -> None:
    ours = block(norm_first=norm_first, activation="relu", cross_attention=True)
    theirs = nn.TransformerDecoderLayer(SIZE, HEADS, 20, 0.0, batch_first=True, norm_first=norm_first)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    assert ours.cross_attention is not None
    assert ours.cross_norm is not None
    copy_attention(theirs.self_attn, ours.attention)
    copy_attention(theirs.multihead_attn, ours.cross_attention)
    for layer, source in (
        (ours.attention_norm, theirs.norm1), (ours.cross_norm, theirs.norm2), (ours.feedforward_norm, theirs.norm3),
        (ours.feedforward.expand, theirs.linear1), (ours.feedforward.contract, theirs.linear2),
    ):  # fmt: skip
        layer.load_state_dict(source.state_dict())
    x, source = torch.randn(2, 4, SIZE), torch.randn(2, 5, SIZE)
    lengths = torch.tensor([5, 2])
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    expected = theirs(
        x, source, mask, tgt_is_causal=True, memory_key_padding_mask=torch.arange(5) >= lengths[:, None]
    )  # fmt: skip
    memory = ours.cross_attention.project(source)
    found, _ = ours(x, causal=True, memory=memory, memory_mask=padding_mask(lengths, source))
    torch.testing.assert_close(found, expected)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"norm_first": False},
    {"normalization": "rms", "activation": "relu2", "bias": False, "qk_norm": True},
    {"activation": "swiglu", "qk_norm": True},
]
every_variant = pytest.mark.parametrize("settings", VARIANTS, ids=str)


@every_variant
@pytest.mark.parametrize("rotary", [False, True])
def test_the_cache_equals_reading_everything_at_once(settings: dict[str, Any], rotary: bool) -> None:
    layer, x = block(**settings), torch.randn(3, 9, SIZE)

    def read(start: int, stop: int, cache: KeyValues | None) -> tuple[Tensor, KeyValues]:
        rotation = rotation_at(start, stop - start, SIZE // HEADS, "cpu") if rotary else None
        return layer(x[:, start:stop], causal=True, rotation=rotation, cache=cache)

    expected, whole = read(0, 9, None)
    cache, parts = None, []
    for start, stop in ((0, 4), (4, 5), (5, 8), (8, 9)):
        out, cache = read(start, stop, cache)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, dim=1), expected)
    assert cache is not None
    torch.testing.assert_close(cache.keys, whole.keys)


@every_variant
def test_no_position_sees_a_later_one(settings: dict[str, Any]) -> None:
    layer, x = block(**settings), torch.randn(1, 7, SIZE)
    expected = layer(x, causal=True)[0]
    for position in range(1, 7):
        changed = x.clone()
        changed[:, position:] = torch.randn(1, 7 - position, SIZE)
        found = layer(changed, causal=True)[0]
        assert torch.equal(found[:, :position], expected[:, :position])
        assert not torch.isclose(found[:, position:], expected[:, position:]).all(-1).any()


@every_variant
def test_padding_changes_nothing(settings: dict[str, Any]) -> None:
    layer, x = block(**settings), torch.randn(1, 4, SIZE)
    longer = torch.cat([x, torch.full((1, 3, SIZE), 9.0)], dim=1)
    found = layer(longer, mask=padding_mask(torch.tensor([4]), longer))[0]
    torch.testing.assert_close(found[:, :4], layer(x)[0])


def test_masks() -> None:
    assert causal_mask(1, 4).tolist() == [[True] * 4]
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    inputs = torch.zeros(2, 3)
    assert padding_mask(torch.tensor([3, 3]), inputs) is None
    mask = padding_mask(torch.tensor([0, 2]), inputs)
    assert mask is not None
    assert mask[:, 0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0]]


def test_rotary_scores_depend_on_distances_only() -> None:
    queries, keys = torch.randn(2, 1, 1, 1, 8)
    scores = [
        rotate(queries, rotation_at(start + 3, 1, 8, "cpu")) @ rotate(keys, rotation_at(start, 1, 8, "cpu")).mT
        for start in (0, 1, 50)
    ]
    torch.testing.assert_close(scores[1], scores[0])
    torch.testing.assert_close(scores[2], scores[0], atol=1e-4, rtol=1e-4)
    assert not torch.isclose(scores[0], queries @ keys.mT).any()


def test_weights_are_those_that_the_attention_uses() -> None:
    attention, x = MultiHeadAttention(SIZE, HEADS, qk_norm=True), torch.randn(2, 5, SIZE)
    mask = causal_mask(5, 5)
    memory = attention.project(x)
    weights = attention.weights(x, memory, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, HEADS, 5))
    assert not weights[..., ~mask].any()
    expected = attention.output((weights @ memory.values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, causal=True)[0], expected)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu2", [0.0, 0.0, 4.0]), ("relu", [0.0, 0.0, 2.0]), ("gelu", [-0.1587, 0.0, 1.9545])],
)
def test_activations(activation: str, expected: list[float]) -> None:
    layer = FeedForward(1, 1, activation, bias=False)
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    found = layer(torch.tensor([[-1.0], [0.0], [2.0]])).flatten()
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def test_skipped_blocks_leave_a_sample_unchanged() -> None:
    layer, x = block(stochastic_depth=0.9).train(), torch.randn(200, 2, SIZE)
    unchanged = (layer(x)[0] == x).all((1, 2)).float().mean()
    assert 0.7 < unchanged < 0.9  # Both parts are skipped with probability 0.81.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": "batch"}, "normalization must be one of layer, rms, not 'batch'"),
        ({"activation": "tanh"}, "activation must be one of gelu, gelu_tanh, relu, relu2, swiglu, not 'tanh'"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"attention_dropout": -0.1}, "attention_dropout must be at least 0"),
    ],
)
def test_settings_out_of_range_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        block(**settings)
    with pytest.raises(InputError, match="hidden_size=12 must be a multiple of num_heads=5"):
        TransformerBlock(12, 5, 20)


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"causal": True, "rotation": rotation_at(0, 5, 4, "cpu")}])
def test_recorded_weights_are_those_of_the_output(settings: dict[str, Any]) -> None:
    attention, x = MultiHeadAttention(8, 2), torch.randn(3, 5, 8)
    with recorded_weights([attention]) as weights:
        output, memory = attention(x, **settings)
    attention(x)
    assert len(weights) == 1  # Those of the pass inside the context alone.
    torch.testing.assert_close(attention.output((weights[0] @ memory.values).transpose(1, 2).flatten(2)), output)
