"""GPT: the published model, causality, the cache, and evaluation with a stride."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints import weights
from primer.checkpoints.embeddings import SETTINGS
from primer.checkpoints.transfer import Frozen
from primer.data.text.text import Text
from primer.errors import InputError
from primer.models.layers.sampling import generate
from primer.models.recurrent.lstm import LSTM
from primer.models.transformers.gpt import GPT
from primer.optim import Muon, build_optimizer
from primer.spec import PADDING, UNKNOWN, Classes, NextToken, Spec, Tags, Tokens

WORDS = ("<pad>", "<unk>", *"abcdefgh")
NEXT = Spec(Tokens(WORDS), NextToken(WORDS))
TAGS = Spec(Tokens(WORDS), Tags(("x", "y", "z")))
CLASSES = Spec(Tokens(WORDS), Classes(("x", "y", "z")))
VARIANTS: list[dict[str, Any]] = [
    {},
    {"position": "rotary", "normalization": "rms", "activation": "relu2", "qk_norm": True, "bias": False},
    {"position": "rotary", "activation": "swiglu", "tie_embeddings": False},
]
every_variant = pytest.mark.parametrize("settings", VARIANTS, ids=str)


def build(spec: Spec = NEXT, **settings: Any) -> GPT:
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "num_layers": 2, "context_length": 12}
    model = GPT(spec, **(small | settings)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5)  # Make the output depend strongly on the inputs.
    return model


def tokens(rows: int = 3, time: int = 12) -> Tensor:
    return torch.randint(2, len(WORDS), (rows, time), generator=torch.Generator().manual_seed(1))


def test_the_preset_has_the_published_number_of_parameters() -> None:
    from primer.cli.composition import compose_resolved

    settings = compose_resolved("train", ["model=gpt2", "data=text"], "unused")["model"]
    settings = {key: value for key, value in settings.items() if key not in ("_target_", *SETTINGS)}
    words = tuple(str(number) for number in range(50_257))
    with torch.device("meta"):
        model = GPT(Spec(Tokens(words), NextToken(words)), **settings)
    assert sum(parameter.numel() for parameter in model.parameters()) == 124_439_808


@pytest.mark.parametrize("with_head", [True, False])
def test_published_weights_give_the_published_outputs(with_head: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=10, n_positions=12, n_embd=16, n_layer=2, n_head=2)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    (theirs if with_head else theirs.transformer).save_pretrained(tmp_path)
    model = build(activation="gelu_tanh")
    weights.copy_into(model, weights.read_weights(str(tmp_path / "model.safetensors"), GPT, {}, tmp_path))
    with torch.no_grad():
        difference = model(tokens()) - theirs(tokens()).logits
    assert difference.abs().max() < 1e-5


@every_variant
def test_no_prediction_sees_a_later_token(settings: dict[str, Any]) -> None:
    model, inputs = build(**settings), tokens()
    expected = model(inputs)
    for position in range(1, inputs.shape[1]):
        changed = inputs.clone()
        changed[:, position:] = 2 + (changed[:, position:] - 1) % 8
        found = model(changed)
        assert torch.equal(found[:, :position], expected[:, :position])
        assert not torch.isclose(found[:, position], expected[:, position]).all()


@every_variant
def test_the_cache_equals_a_full_pass(settings: dict[str, Any]) -> None:
    model, inputs = build(**settings), tokens()
    expected, state, found = model(inputs), None, []
    for part in inputs.split([5, 1, 1, 5], dim=1):
        outputs, state = model.forward_with_state(part, state=state)
        found.append(outputs)
    assert (torch.cat(found, dim=1) - expected).abs().max() < 1e-5


@every_variant
def test_generation_equals_rereading_the_context(settings: dict[str, Any]) -> None:
    """Beyond its context, the model continues from the latest half of it."""
    model, inputs, context = build(**settings), tokens(2, 4), 4
    found = generate(model, inputs, 30, temperature=0.0)
    for _ in range(30):
        logits = model(inputs[:, -context:])[:, -1].detach()
        logits[:, [PADDING, UNKNOWN]] = -torch.inf
        inputs = torch.cat([inputs, logits.argmax(1, keepdim=True)], dim=1)
        context = context + 1 if context < 12 else 6
    assert found.tolist() == inputs[:, 4:].tolist()
    assert len(found.unique()) > 2


def test_a_prompt_longer_than_the_context_is_cut() -> None:
    model, inputs = build(), tokens(2, 30)
    found = generate(model, inputs, 3, temperature=0.0)
    assert torch.equal(found, generate(model, inputs[:, -12:], 3, temperature=0.0))


def test_the_next_token_of_a_long_text_is_predicted_from_its_end() -> None:
    model = build(Spec(Tokens(WORDS, tokenizer="characters"), NextToken(WORDS)))
    text = "abcdefghhgfedcbaacegbdfh"
    found = model.predict([text, "abc", text[:13]])
    for row, end in enumerate((text[-12:], "abc", text[1:13])):
        np.testing.assert_allclose(found.probabilities[row], model.predict(end).probabilities[0], rtol=1e-5)  # type: ignore[index]


@pytest.mark.parametrize("spec", [TAGS, CLASSES], ids=["tags", "classes"])
def test_padding_changes_nothing(spec: Spec) -> None:
    model, inputs, lengths = build(spec), tokens(4, 7), torch.tensor([7, 3, 1, 5])
    padded = inputs.masked_fill(torch.arange(7) >= lengths[:, None], PADDING)
    found = model(padded, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(inputs[row : row + 1, :length], lengths[row : row + 1])[0]
        kept = found[row, :length] if spec is TAGS else found[row]
        torch.testing.assert_close(kept, alone)
    if spec is CLASSES:
        torch.testing.assert_close(model(inputs), model(inputs, torch.full((4,), 7)))


def test_too_long_a_sequence_is_an_error_unless_positions_are_rotary() -> None:
    with pytest.raises(InputError, match=r"a sequence of 13 tokens is longer than model\.context_length=12"):
        build(TAGS)(tokens(1, 13))
    assert build(TAGS, position="rotary")(tokens(1, 13)).shape == (1, 13, 3)
    assert (build(TAGS).longest_input, build(TAGS, position="rotary").longest_input, build().longest_input) == (
        12, None, None,
    )  # fmt: skip
    with pytest.raises(InputError, match="feedforward_size must be at least 1, not 0"):
        build(feedforward_size=0)
    with pytest.raises(InputError, match="position=rotary needs heads of even size"):
        build(hidden_size=15, num_heads=5, position="rotary")


def test_a_head_that_is_tied_to_a_frozen_embedding_cannot_be_trained_alone() -> None:
    with pytest.raises(InputError, match=r"transfer\.learn=1 leaves nothing to train: the last layer of GPT shares"):
        Frozen().apply(build())
    model = build()
    Frozen(learn=2).apply(model)
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained
    assert "embedding" not in trained


def test_muon_takes_hidden_matrices_only() -> None:
    model = build(tie_embeddings=False)
    optimizer = build_optimizer(partial(Muon, lr=0.01), model)
    muon, adam = optimizer.optimizers  # type: ignore[attr-defined]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert by_muon == {name for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2}
    by_adam = {names[id(p)] for group in adam.param_groups for p in group["params"]}
    assert {"embedding.words.weight", "positions.weight", "head.weight"} <= by_adam
    assert by_muon | by_adam == set(names.values())


# On data.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.txt").write_text("".join(f"{k} and {k * k}, then {k % 7};\n" for k in range(150)))
    return tmp_path


def text(folder: Path, **settings: Any) -> Text:
    sizes = {"batch_size": 4, "sequence_length": 12, "eval_streams": 2, **settings}
    return Text(path="corpus.txt", data_dir=folder, **sizes).prepare()


def test_a_stride_gives_each_prediction_more_context(folder: Path, quiet_trainer: Any) -> None:
    plain, strided = text(folder), text(folder, eval_stride=3)
    model = build(plain.spec)
    whole = [torch.cat([batch.targets for batch in text(folder, sequence_length=10_000).test_dataloader()], 1)]
    for data, lowest in ((plain, 1), (strided, 10)):
        batches = list(data.test_dataloader())
        targets = [batch.targets for batch in batches]
        counted = [part[part != -100] for part in targets if part is not None]
        assert sum(map(len, counted)) == (whole[0] != -100).sum()  # Each token is a target once.
        for batch in batches[4:]:
            assert (batch.targets[:, : lowest - 1] == -100).all()
    (first,), (second,) = (quiet_trainer().test(model, data, verbose=False) for data in (plain, strided))
    assert first["test/context"] == pytest.approx(6.5, abs=0.1)
    assert second["test/context"] == pytest.approx(11, abs=0.3)
    # Each prediction is that of the whole window before it.
    stream = strided.parts["test"].inputs  # type: ignore[union-attr]
    pairs, total, count = len(stream) - 1, 0.0, 0
    for start, end in ((0, pairs // 2), (pairs // 2, pairs)):
        for position in range(start, end):
            block = (position - start) // 3 * 3 + start  # The new tokens of the batch that it is in.
            window = stream[max(start, block + 3 - 12) : position + 1]
            total -= model(window[None])[0, -1].log_softmax(-1)[stream[position + 1]].item()
            count += 1
    assert second["test/loss"] == pytest.approx(total / count, rel=1e-4)


def test_a_stride_out_of_range_or_for_a_model_that_carries_its_state_is_an_error(
    folder: Path, quiet_trainer: Any
) -> None:
    with pytest.raises(InputError, match="eval_stride must be from 1 to sequence_length=12, not 13"):
        text(folder, eval_stride=13)
    data = text(folder, eval_stride=6)
    with pytest.raises(InputError, match=r"data\.eval_stride=6: LSTM carries its state"):
        quiet_trainer().test(LSTM(data.spec, embedding_size=4, hidden_size=4), data, verbose=False)


@every_variant
def test_overfits_one_batch(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = GPT(NEXT, 16, 2, 2, **settings)
    inputs = tokens(2, 12)
    batch = Batch(inputs[:, :-1], inputs[:, 1:])
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model.step(batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_weights_of_a_language_model_are_a_start_for_tags() -> None:
    trained, model = build(), build(TAGS, num_layers=2)
    source = weights.Weights("run", trained.state_dict(), NEXT.input, NEXT.target)
    head = model.head.weight.clone()
    weights.copy_into(model, source)
    assert torch.equal(model.head.weight, head)
    inputs = tokens()
    torch.testing.assert_close(model.read(inputs)[0], trained.read(inputs)[0])
