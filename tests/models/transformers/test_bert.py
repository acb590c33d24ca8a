"""BERT: the published model, padding, and hidden tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints import weights
from primer.checkpoints.embeddings import SETTINGS
from primer.cli.composition import compose_resolved
from primer.data.text.masking import MASK, mask_tokens
from primer.errors import InputError
from primer.models.transformers.bert import BERT
from primer.spec import IGNORE, PADDING, Classes, MaskedToken, NextToken, Spec, Tags, Tokens

WORDS = ("<pad>", "<unk>", *"abcdefg", MASK)
MASKED = Spec(Tokens(WORDS), MaskedToken(WORDS, 0.3))
TAGS = Spec(Tokens(WORDS), Tags(("x", "y", "z")))
CLASSES = Spec(Tokens(WORDS), Classes(("x", "y", "z")))


def build(spec: Spec = MASKED, **settings: Any) -> BERT:
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "num_layers": 2, "context_length": 12}
    model = BERT(spec, **(small | settings)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)  # Make the output depend strongly on the inputs.
    return model


def tokens(rows: int = 4, time: int = 12) -> Tensor:
    return torch.randint(2, len(WORDS) - 1, (rows, time), generator=torch.Generator().manual_seed(1))


def test_the_preset_has_the_published_number_of_parameters() -> None:
    settings = compose_resolved("train", ["model=bert_base"], "unused")["model"]
    settings = {key: value for key, value in settings.items() if key not in ("_target_", *SETTINGS)}
    with torch.device("meta"):
        model = BERT(Spec(Tokens(tuple(map(str, range(30_522)))), Classes(("x", "y"))), **settings)
    last = model.head[-1]
    # The published number includes the layer before the last one, which is the only one that depends on the classes.
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in last.parameters()) == 109_482_240


@pytest.mark.parametrize("with_head", [True, False])
def test_published_weights_give_the_published_outputs(with_head: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=12,
    )  # fmt: skip
    theirs = (transformers.BertForMaskedLM if with_head else transformers.BertModel)(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    model = build(MASKED if with_head else TAGS, norm_first=False)
    weights.copy_into(model, weights.read_weights(str(tmp_path / "model.safetensors"), BERT, {}, tmp_path))
    inputs, lengths = tokens(), torch.tensor([12, 3, 7, 12])
    real = torch.arange(12) < lengths[:, None]
    with torch.no_grad():
        expected = theirs(inputs, attention_mask=real)
        expected = expected.logits if with_head else expected.last_hidden_state
        found = model(inputs, lengths) if with_head else model.read(inputs, lengths)
    assert (found - expected)[real].abs().max() < 1e-5


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("spec", [MASKED, TAGS, CLASSES], ids=["masked", "tags", "classes"])
def test_padding_changes_nothing(spec: Spec, pooling: str, norm_first: bool) -> None:
    model, inputs, lengths = build(spec, pooling=pooling, norm_first=norm_first), tokens(), torch.tensor([12, 3, 1, 5])
    padded = inputs.masked_fill(torch.arange(12) >= lengths[:, None], PADDING)
    found = model(padded, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(inputs[row : row + 1, :length], lengths[row : row + 1])[0]
        torch.testing.assert_close(found[row] if spec is CLASSES else found[row, :length], alone)
    torch.testing.assert_close(model(inputs), model(inputs, torch.full((4,), 12)))


def test_only_hidden_tokens_count() -> None:
    model = build()
    lengths = torch.tensor([12, 3, 1, 5])
    inputs = tokens().masked_fill(torch.arange(12) >= lengths[:, None], PADDING)
    batch = mask_tokens(Batch(inputs, None, lengths), MASKED.target, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert batch.targets is not None
    step, logits = model.step(batch), model(batch.inputs, lengths)
    hidden = batch.targets != IGNORE
    assert step.count == hidden.sum() == 4 + 1 + 1 + 2  # Of 12, 3, 1 and 5 tokens, 30 % and at least one.
    expected = torch.nn.functional.cross_entropy(logits[hidden], batch.targets[hidden])
    torch.testing.assert_close(step.loss, expected)
    changed = batch._replace(targets=batch.targets.clone())
    changed.targets[0, (~hidden[0]).nonzero()[0]] = IGNORE  # type: ignore[index]
    torch.testing.assert_close(model.step(changed).loss, step.loss)
    assert step.targets is not None
    torch.testing.assert_close(model.predict_batch(batch, step.outputs)[0], logits[hidden].argmax(-1))


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    model = BERT(MASKED, 16, 2, 2)
    batch = mask_tokens(Batch(tokens()), MASKED.target, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.step(batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@pytest.mark.parametrize("spec", [TAGS, CLASSES], ids=["tags", "classes"])
def test_weights_of_masked_token_prediction_are_a_start(spec: Spec) -> None:
    trained, model = build(), build(spec)
    head = {name: parameter.clone() for name, parameter in model.head.state_dict().items()}
    weights.copy_into(model, weights.Weights("run", trained.state_dict(), MASKED.input, MASKED.target))
    assert all(torch.equal(model.head.state_dict()[name], parameter) for name, parameter in head.items())
    torch.testing.assert_close(model.read(tokens()), trained.read(tokens()))


def test_data_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(InputError, match=r"a sequence of 13 tokens is longer than model\.context_length=12"):
        build()(tokens(1, 13))
    with pytest.raises(InputError, match="cannot predict the next token: use data=masked_text"):
        BERT(Spec(Tokens(WORDS), NextToken(WORDS)))
