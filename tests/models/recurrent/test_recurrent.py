"""The recurrent networks: RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from jaxtyping import TypeCheckError
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints.reading import load
from primer.cli.checks import check_command
from primer.config.paths import CONFIGS
from primer.data.text.pos_tags import PosTags
from primer.errors import InputError
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.recurrent import Recurrent
from primer.models.recurrent.rnn import RNN
from primer.optim import SparseAdam, build_optimizer, decayed
from primer.spec import IGNORE, Classes, Image, Input, Series, Spec, Tags, Target, Tokens, Values, Vector

WORDS = Tokens(("<pad>", "<unk>", *"abcdefgh"))
INPUTS = {"tokens": WORDS, "series": Series(3), "image": Image(2, 5, 4)}
TARGETS = {"classes": Classes(("no", "yes", "so")), "tags": Tags(("N", "V")), "values": Values(("x", "y"))}
SMALL: dict[str, Any] = {"embedding_size": 6, "hidden_size": 5}

every_kind = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def build(kind: type[Recurrent], inputs: Input = WORDS, target: Target = TARGETS["tags"], **settings: Any) -> Recurrent:
    """A small model in evaluation mode, always with the same weights."""
    torch.manual_seed(0)
    return kind(Spec(inputs, target), **(SMALL | settings)).eval()


def samples(inputs: Input, batch: int = 4, time: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if isinstance(inputs, Tokens):
        return torch.randint(2, len(inputs.vocabulary), (batch, time), generator=generator)
    shape = (time, 3) if isinstance(inputs, Series) else (2, 5, 4)
    return torch.randn(batch, *shape, generator=generator)


@every_kind
@each_direction
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inputs", INPUTS)
def test_output_shapes(kind: type[Recurrent], inputs: str, target: str, bidirectional: bool) -> None:
    if (inputs, target) == ("image", "tags"):
        with pytest.raises(InputError, match="one label per image"):
            build(kind, INPUTS[inputs], TARGETS[target])
        return
    model = build(kind, INPUTS[inputs], TARGETS[target], bidirectional=bidirectional, num_layers=2)
    expected = {"classes": (4, 3), "tags": (4, 7, 2), "values": (4, 2)}[target]
    assert model(samples(INPUTS[inputs])).shape == expected
    if inputs != "image":
        assert model(samples(INPUTS[inputs]), torch.tensor([7, 2, 1, 5])).shape == expected


@every_kind
def test_an_image_is_read_as_a_series_of_rows(kind: type[Recurrent]) -> None:
    image = build(kind, Image(2, 5, 4), TARGETS["classes"])
    series = build(kind, Series(8), TARGETS["classes"])
    images = samples(Image(2, 5, 4))
    rows = torch.stack([torch.cat([images[:, 0, row], images[:, 1, row]], dim=1) for row in range(5)], dim=1)
    torch.testing.assert_close(image(images), series(rows))


@every_kind
@each_direction
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inputs", ["tokens", "series"])
def test_padding_and_batch_size_do_not_change_the_outputs(
    kind: type[Recurrent], inputs: str, target: str, bidirectional: bool
) -> None:
    settings: dict[str, Any] = {"bidirectional": bidirectional, "num_layers": 2, "normalization": "layer"}
    model = build(kind, INPUTS[inputs], TARGETS[target], **settings)
    batch, lengths = samples(INPUTS[inputs]), torch.tensor([3, 7, 1, 5])
    together = model(batch, lengths)
    for k, length in enumerate(lengths.tolist()):
        alone = model(batch[k : k + 1, :length])
        row = together[k : k + 1, :length] if target == "tags" else together[k : k + 1]
        torch.testing.assert_close(row, alone)
    assert not torch.allclose(together[:1], model(batch[:1])[:1])  # Reading the padding would matter.


@every_kind
def test_padding_and_batch_size_do_not_change_the_metrics(kind: type[Recurrent], quiet_trainer: Any) -> None:
    metrics = []
    for size in (1, 7, 1000):
        data = PosTags(sentences=60, eval_batch_size=size).prepare()
        torch.manual_seed(0)
        metrics.append(quiet_trainer().test(kind(data.spec, **SMALL), data, verbose=False)[0])
    assert metrics[0]["test/loss"] > 0
    for values in metrics[1:]:
        assert values == pytest.approx(metrics[0], rel=1e-5)


@every_kind
def test_the_backward_direction_starts_at_the_last_real_token(kind: type[Recurrent]) -> None:
    bidirectional = build(kind, Series(3), Classes(("no", "yes")))
    backward = build(kind, Series(3), Classes(("no", "yes")), bidirectional=False)
    weights = {
        name.removesuffix("_reverse"): value
        for name, value in bidirectional.recurrence.state_dict().items()
        if name.endswith("_reverse")
    }
    backward.recurrence.load_state_dict(weights)
    backward.head = bidirectional.head = torch.nn.Identity()  # type: ignore[assignment]
    steps, lengths = samples(Series(3)), torch.tensor([3, 7, 1, 5])
    states = bidirectional(steps, lengths)[:, SMALL["hidden_size"] :]
    for k, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(states[k : k + 1], backward(steps[k : k + 1, :length].flip(1)))


@every_kind
def test_an_empty_sequence_is_read_as_one_step_of_padding(kind: type[Recurrent]) -> None:
    model = build(kind, target=TARGETS["classes"])
    outputs = model(torch.zeros(2, 3, dtype=torch.long), torch.tensor([0, 1]))
    torch.testing.assert_close(outputs[0], outputs[1])


def cell(kind: type[Recurrent], weights: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Computes one step by the formulas in the docstrings of the models."""
    from_input, from_state = (
        x @ weights["layers.0.weight_ih_l0"].T + weights["layers.0.bias_ih_l0"],
        h @ weights["layers.0.weight_hh_l0"].T,
    )
    from_state = from_state + weights["layers.0.bias_hh_l0"]
    if kind is LSTM:
        i, f, g, o = (from_input + from_state).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if kind is GRU:
        (ir, iz, i_n), (hr, hz, hn) = from_input.chunk(3), from_state.chunk(3)
        r, z = (ir + hr).sigmoid(), (iz + hz).sigmoid()
        return (1 - z) * (i_n + r * hn).tanh() + z * h, c
    return (from_input + from_state).tanh(), c


@every_kind
def test_outputs_equal_the_formulas_of_the_cell(kind: type[Recurrent]) -> None:
    model = build(kind, Series(3), bidirectional=False)
    weights, steps = model.recurrence.state_dict(), samples(Series(3), batch=1)
    h = c = torch.zeros(SMALL["hidden_size"])
    outputs = []
    for x in steps[0]:
        h, c = cell(kind, weights, x, h, c)
        outputs.append(model.head(h))
    torch.testing.assert_close(model(steps)[0], torch.stack(outputs))


def test_rnn_with_relu() -> None:
    model = build(RNN, Series(3), bidirectional=False, activation="relu")
    weights, steps = model.recurrence.state_dict(), samples(Series(3), time=1)
    preactivation = (
        steps[:, 0] @ weights["layers.0.weight_ih_l0"].T
        + weights["layers.0.bias_ih_l0"]
        + weights["layers.0.bias_hh_l0"]
    )
    torch.testing.assert_close(model(steps)[:, 0], model.head(preactivation.relu()))


@every_kind
def test_overfits_one_batch(kind: type[Recurrent]) -> None:
    model = build(kind, hidden_size=32).train()
    tokens = samples(WORDS, batch=8)
    tags = torch.randint(2, tokens.shape, generator=torch.Generator().manual_seed(2))  # Random labels.
    lengths = torch.tensor([7, 7, 6, 5, 4, 3, 2, 1])
    tags[torch.arange(7) >= lengths[:, None]] = IGNORE
    batch = Batch(tokens, tags, lengths)
    first = fit(model, lambda _: batch, steps=200)
    assert first > 0.5
    with torch.no_grad():
        last, _ = model.objective.loss(model(tokens, lengths), tags)
    assert last < 0.02


@every_kind
def test_learns_a_task_that_depends_on_order(kind: type[Recurrent], record_figure: Callable[[str], None]) -> None:
    """The class is which of two words comes first. Word counts carry no information, so chance level is 0.5."""
    generator = torch.Generator().manual_seed(3)

    def sample_batch(size: int) -> Batch:
        tokens = torch.randint(4, len(WORDS.vocabulary), (size, 9), generator=generator)
        lengths = torch.randint(5, 10, (size,), generator=generator)
        positions = torch.rand(size, 5, generator=generator).argsort(1)[:, :2]
        tokens.scatter_(1, positions, torch.tensor([2, 3]).expand(size, 2))
        return Batch(tokens, (positions[:, 0] < positions[:, 1]).long(), lengths)

    model = build(kind, target=Classes(("second", "first")), hidden_size=16).train()
    fit(model, lambda _: sample_batch(64), steps=250)
    test = sample_batch(1000)
    with torch.no_grad():
        accuracy = (model.eval().predict_batch(test) == test.targets).float().mean().item()
    record_figure(f"{kind.__name__}: which of two words comes first: {accuracy:.3f}; chance: 0.500")
    assert accuracy > 0.9


@every_kind
def test_a_sparse_embedding_updates_only_the_words_of_the_batch(kind: type[Recurrent]) -> None:
    model = build(kind, sparse=True).train()
    assert model.embedding is not None
    before = model.embedding.words.weight.detach().clone()
    batch = Batch(torch.tensor([[2, 3, 0]]), torch.tensor([[0, 1, IGNORE]]), torch.tensor([2]))
    model.objective.loss(model.forward_batch(batch), batch.targets)[0].backward()  # type: ignore[arg-type]
    assert model.embedding.words.weight.grad is not None
    assert model.embedding.words.weight.grad.is_sparse
    head = model.head.weight.detach().clone()
    build_optimizer(SparseAdam, model).step()
    changed = (model.embedding.words.weight != before).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [2, 3]
    assert not torch.equal(model.head.weight, head)


@every_kind
def test_sparse_adam_updates_all_parameters(kind: type[Recurrent], quiet_trainer: Any) -> None:
    data = PosTags(sentences=100, test_fraction=0.1).prepare()
    model = kind(data.spec, sparse=True, **SMALL)
    model.optimizer = SparseAdam
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quiet_trainer(max_epochs=2).fit(model, data)
    unchanged = [name for name, value in model.state_dict().items() if torch.equal(value, before[name])]
    assert unchanged == []


@every_kind
@pytest.mark.parametrize("initialization", ["default", "xavier", "he", "normal", "zeros"])
def test_padding_embeddings_start_at_zero(kind: type[Recurrent], initialization: str) -> None:
    model = build(kind, initialization=initialization)
    assert model.embedding is not None
    assert not model.embedding.words.weight[0].any()
    assert bool(model.embedding.words.weight[1:].any()) is (initialization != "zeros")


@every_kind
def test_dropout_applies_in_training_only(kind: type[Recurrent]) -> None:
    model, tokens = build(kind, dropout=0.5, num_layers=2), samples(WORDS)
    torch.testing.assert_close(model(tokens), model(tokens), rtol=0, atol=0)
    model.train()
    assert not torch.allclose(model(tokens), model(tokens))


@every_kind
def test_a_loaded_checkpoint_computes_the_same_outputs(
    kind: type[Recurrent], quiet_trainer: Any, tmp_path: Path
) -> None:
    data = PosTags(sentences=40).prepare()
    extra: dict[str, Any] = {"activation": "relu"} if kind is RNN else {}
    model = kind(data.spec, num_layers=2, bidirectional=False, normalization="layer", **SMALL, **extra)
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    tokens = data.parts["test"].inputs
    torch.testing.assert_close(load(tmp_path / "last.ckpt")(tokens), model.eval()(tokens), rtol=0, atol=0)


@every_kind
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, not 0"),
        ({"embedding_size": -1}, "embedding_size must be at least 1, not -1"),
        ({"num_layers": 0}, "num_layers must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, not 1.0"),
        ({"normalization": "batch"}, "normalization"),
        ({"initialization": "best"}, "initialization"),
        ({"inputs": Vector(3)}, "does not accept inputs of type Vector"),
    ],
)
def test_invalid_settings_are_errors(kind: type[Recurrent], settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, TypeCheckError), match=message):  # In tests, jaxtyping rejects unknown names.
        build(kind, **settings)


def test_unknown_activation_of_an_rnn_is_an_error() -> None:
    with pytest.raises((InputError, TypeCheckError), match="activation"):
        build(RNN, activation="gelu")


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_model_selects_its_default_data_unless_overridden(name: str) -> None:
    def data(*overrides: str) -> str:
        with initialize_config_dir(str(CONFIGS)):
            return compose("train", [f"model={name}", *overrides]).data._target_

    assert data() == "primer.data.text.pos_tags.PosTags"
    assert data("data=digits") == "primer.data.images.digits.Digits"
    assert data("experiment=mnist_mlp").startswith("primer.data.images.images.")


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_commands_are_checked_without_building_the_model(name: str) -> None:
    check_command("train", [f"model={name}"])
    check_command("train", [f"model={name}", "data=digits", "model.bidirectional=false"])
    with pytest.raises(InputError, match=r"model.hidden_size must be an integer, not 'many'"):
        check_command("train", [f"model={name}", "model.hidden_size=many"])
    with pytest.raises(InputError, match="did you mean embedding_size"):
        check_command("train", [f"model={name}", "model.embeding_size=3"])
    with pytest.raises(InputError, match="activation"):
        check_command("train", [f"model={name}", "model.activation=gelu"])


def fit(model: Recurrent, batches: Any, steps: int) -> float:
    """Trains with Adam and returns the loss of the first step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for step in range(steps):
        batch = batches(step)
        loss, _ = model.objective.loss(model.forward_batch(batch), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0]


def test_a_sparse_embedding_with_a_dense_optimizer_is_an_error() -> None:
    with pytest.raises(InputError, match="optimizer=sparse_adam"):
        build_optimizer(torch.optim.AdamW, build(LSTM, sparse=True))


def test_penalties_exclude_a_sparse_embedding() -> None:
    model = build(LSTM, sparse=True)
    assert all(parameter is not model.embedding.words.weight for parameter in decayed(model)[0])
