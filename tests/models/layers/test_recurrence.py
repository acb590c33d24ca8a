"""Stacked recurrent layers, sequence dropout, pooling and instance normalization."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from primer.batch import Batch
from primer.errors import InputError
from primer.models.layers.recurrence import POOLINGS, InstanceNormalization, Pooling, SequenceDropout, Stack
from primer.models.recurrent.gru import GRU
from primer.models.recurrent.lstm import LSTM
from primer.models.recurrent.recurrent import Recurrent
from primer.models.recurrent.rnn import RNN
from primer.objectives import MSE, GaussianNLL
from primer.objectives.regression import Regression
from primer.spec import Classes, NextToken, Series, Spec, Tags, Target, Tokens, Values

LENGTHS = torch.tensor([3, 7, 1, 5])
STEPS = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0))


def packed(steps: Tensor = STEPS) -> Any:
    return pack_padded_sequence(steps, LENGTHS, batch_first=True, enforce_sorted=False)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_equals_the_layers_of_torch(bidirectional: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    width = 10 if bidirectional else 5
    ours = Stack(
        [nn.LSTM(size, 5, batch_first=True, bidirectional=bidirectional) for size in (6, width)], nn.Identity()
    )
    for name, value in theirs.state_dict().items():
        for k in (0, 1):
            if f"_l{k}" in name:
                ours.state_dict()[f"layers.{k}.{name.replace(f'_l{k}', '_l0')}"].copy_(value)
    (states, final), (expected, last) = ours(packed()), theirs(packed())
    torch.testing.assert_close(states.data, expected.data)
    torch.testing.assert_close(torch.cat([part[0] for part in final]), last[0])
    torch.testing.assert_close(torch.cat([part[1] for part in final]), last[1])


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_a_sequence_split_in_two_with_carried_state_equals_the_whole(kind: type[Recurrent]) -> None:
    words = ("<pad>", "<unk>", *"abcd")
    torch.manual_seed(0)
    model = kind(Spec(Tokens(words), NextToken(words)), embedding_size=6, hidden_size=5, num_layers=2).eval()
    tokens = torch.randint(2, 6, (3, 9))
    first, state = model.forward_with_state(tokens[:, :4])
    second, _ = model.forward_with_state(tokens[:, 4:], state=state)
    torch.testing.assert_close(torch.cat([first, second], 1), model(tokens))
    assert not torch.allclose(second, model(tokens[:, 4:]))
    assert model(tokens).shape == (3, 9, 6)
    torch.testing.assert_close(model(tokens)[:, :5], model(tokens[:, :5]))  # Causal.


def test_bidirectional_next_token_prediction_is_an_error() -> None:
    words = ("<pad>", "<unk>", "a")
    with pytest.raises(InputError, match="bidirectional=true would read the token to predict"):
        LSTM(Spec(Tokens(words), NextToken(words)), bidirectional=True)


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("pack", [False, True])
def test_sequence_dropout_masks(locked: bool, pack: bool) -> None:
    torch.manual_seed(0)
    drop, ones = SequenceDropout(0.25, locked), torch.ones(4, 7, 2000)
    out = drop(packed(ones) if pack else ones)
    steps = pad_packed_sequence(out, batch_first=True)[0] if pack else out
    for row, length in zip(steps, LENGTHS.tolist() if pack else [7] * 4, strict=True):
        real = row[:length]
        torch.testing.assert_close(real[real > 0].unique(), torch.tensor([4 / 3]))
        assert (real == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
        assert bool((real == real[0]).all()) is (locked or length == 1)
    assert not torch.equal(steps[0, 0], steps[1, 0])  # Each sequence has its own mask.
    assert drop.eval()(ones) is ones


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_ignores_padding(name: str) -> None:
    torch.manual_seed(0)
    pool = Pooling(name, 6, directions=1)
    alone = []
    for row, length in zip(STEPS, LENGTHS.tolist(), strict=True):
        real = row[:length]
        if name == "attention":
            weights = pool.energy(real).softmax(0)  # type: ignore[misc]
            alone.append((weights * real).sum(0))
        else:
            alone.append({"last": real[-1], "mean": real.mean(0), "max": real.amax(0)}[name])
    final: Any = [STEPS[torch.arange(4), LENGTHS - 1][None]]
    torch.testing.assert_close(pool(packed(), final), torch.stack(alone))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_model_with_pooling_ignores_padding(pooling: Any) -> None:
    torch.manual_seed(0)
    model = GRU(Spec(Series(6), Classes(("a", "b"))), hidden_size=5, pooling=pooling).eval()
    together = model(STEPS, LENGTHS)
    for k, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(together[k : k + 1], model(STEPS[k : k + 1, :length]))


def test_forget_bias_is_set() -> None:
    model = LSTM(Spec(Series(6), Tags(("a", "b"))), hidden_size=5, num_layers=2, forget_bias=2.0)
    for layer in model.recurrence.layers:
        for direction in ("", "_reverse"):
            both = getattr(layer, f"bias_ih_l0{direction}") + getattr(layer, f"bias_hh_l0{direction}")
            assert both.chunk(4)[1].tolist() == [2.0] * 5
            assert both.chunk(4)[0].tolist() != [2.0] * 5


@pytest.mark.parametrize(("kind", "gates"), [(RNN, 1), (GRU, 3), (LSTM, 4)])
def test_recurrent_matrices_are_orthogonal(kind: type[Recurrent], gates: int) -> None:
    model = kind(Spec(Series(6), Tags(("a", "b"))), hidden_size=5, initialization="orthogonal")
    layer: Any = model.recurrence.layers[0]
    for weight in layer.weight_hh_l0.chunk(gates):
        torch.testing.assert_close(weight @ weight.T, torch.eye(5))


def test_unknown_pooling_is_an_error() -> None:
    with pytest.raises((InputError, TypeCheckError), match="pooling"):
        GRU(Spec(Series(6), Classes(("a", "b"))), pooling="median")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pooling must be one of last, mean, max, attention, not 'median'"):
        Pooling("median", 6, 1)


def test_instance_normalization_standardizes_forecast_features() -> None:
    normalized, mean, std = InstanceNormalization(6, (1, 1, 4))(STEPS)
    for index, feature in enumerate((1, 1, 4)):
        torch.testing.assert_close(mean[:, index], STEPS[..., feature].mean(1))
        torch.testing.assert_close(std[:, index], STEPS[..., feature].std(1, correction=0), rtol=1e-4, atol=0.0)
        restored = normalized[..., feature] * std[:, None, index] + mean[:, None, index]
        torch.testing.assert_close(restored, STEPS[..., feature])
    assert torch.equal(normalized[..., [0, 2, 3, 5]], STEPS[..., [0, 2, 3, 5]])
    assert torch.equal(InstanceNormalization(1, (0,))(torch.ones(2, 5, 1))[0], torch.zeros(2, 5, 1))


@pytest.mark.parametrize("objective", [MSE, GaussianNLL])
@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_a_forecast_shifts_and_scales_with_its_window(kind: type[Recurrent], objective: type[Regression]) -> None:
    torch.manual_seed(0)
    spec = Spec(Series(3), Values(("a t+1", "a t+2", "b t+1", "b t+2"), continues=(0, 0, 1, 1)))
    model = kind(spec, hidden_size=5, instance_normalization=True, objective=objective(spec.target)).eval()
    windows, shift, scale = torch.randn(4, 9, 3), torch.tensor([7.0, -3.0, 0.0]), torch.tensor([20.0, 4.0, 1.0])
    forecast, transformed = (model.predict_batch(Batch(steps)) for steps in (windows, windows * scale + shift))
    expected = forecast * scale[[0, 0, 1, 1]] + shift[[0, 0, 1, 1]]
    torch.testing.assert_close(transformed, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(forecast, model.predict_batch(Batch(windows + torch.tensor([0.0, 0.0, 1.0]))))


def test_instance_normalization_of_a_single_step_is_an_error() -> None:
    model = GRU(Spec(Series(1), Values(("a t+1",), continues=(0,))), instance_normalization=True)
    with pytest.raises(InputError, match=r"needs data\.window of at least 2"):
        model(torch.ones(4, 1, 1))


@pytest.mark.parametrize("target", [Classes(("no", "yes")), Values(("sum",))])
def test_instance_normalization_without_a_forecast_is_an_error(target: Target) -> None:
    with pytest.raises(InputError, match="instance_normalization=true needs a forecasting task"):
        LSTM(Spec(Series(3), target), instance_normalization=True)
