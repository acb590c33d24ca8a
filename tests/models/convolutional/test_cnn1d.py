"""The one-dimensional convolutional network: padding, batch normalization, and prediction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from primer.batch import Batch
from primer.data.series.waves import Waves
from primer.errors import InputError
from primer.models.convolutional.cnn1d import CNN1d, MaskedBatchNorm
from primer.spec import Classes, Series, Spec, Tags, Values

SPEC = Spec(Series(2, (1.0, 2.0), (3.0, 0.5), padded=True), Classes(("a", "b", "c")))
SMALL: dict[str, Any] = {"channels": (6, 8, 6)}


def padded(lengths: list[int], longest: int, filler: float = 9.0) -> tuple[Tensor, Tensor]:
    """Returns series with padding of another value."""
    steps = torch.randn(len(lengths), max(lengths), 2, generator=torch.Generator().manual_seed(0))
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    steps = nn.functional.pad(steps, (0, 0, 0, longest - max(lengths)))
    return steps.masked_fill(~real[..., None], filler), torch.tensor(lengths)


def built(spec: Spec = SPEC, **settings: Any) -> CNN1d:
    torch.manual_seed(0)
    return CNN1d(spec, **SMALL, **settings)


def test_layers_and_parameters_are_those_of_the_paper() -> None:
    model = CNN1d(Spec(Series(1), Classes(("a", "b"))))
    weights = 8 * 128 + 5 * 128 * 256 + 3 * 256 * 128 + 2 * (128 + 256 + 128) + 128 * 2 + 2
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert [conv.kernel_size for conv in model.convolutions] == [(8,), (5,), (3,)]


@pytest.mark.parametrize("pooling", ["mean", "max"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_neither_outputs_nor_statistics(pooling: Any, training: bool) -> None:
    short, long = built(pooling=pooling).train(training), built(pooling=pooling).train(training)
    lengths = [7, 3, 12, 1]
    inputs, counts = padded(lengths, 12)
    more, _ = padded(lengths, 20, filler=-5.0)
    torch.testing.assert_close(short(inputs, counts), long(more, counts))
    for name, value in short.state_dict().items():
        torch.testing.assert_close(value, long.state_dict()[name])


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_series_in_a_batch_equals_the_series_alone(pooling: Any) -> None:
    model = built(pooling=pooling)
    inputs, counts = padded([7, 3, 12, 1], 12)
    model(inputs, counts)  # Statistics other than the initial ones.
    model.eval()
    alone = torch.cat([model(inputs[k : k + 1, :n]) for k, n in enumerate(counts)])
    torch.testing.assert_close(model(inputs, counts), alone)


def test_statistics_are_those_of_the_real_steps() -> None:
    layer, plain = MaskedBatchNorm(2), nn.BatchNorm1d(2)
    inputs, counts = padded([7, 3, 12, 1], 12)
    real = torch.arange(12) < counts[:, None]
    expected = plain(inputs[real])
    outputs = layer(inputs.transpose(1, 2), real[:, None]).transpose(1, 2)
    torch.testing.assert_close(outputs[real], expected)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name], value)
    same = MaskedBatchNorm(2)
    torch.testing.assert_close(same(inputs.transpose(1, 2)), nn.BatchNorm1d(2)(inputs.transpose(1, 2)))


def test_tags_are_predicted_at_each_step() -> None:
    model = built(Spec(SPEC.input, Tags(("x", "y")))).eval()
    inputs, counts = padded([7, 3], 9)
    outputs = model(inputs, counts)
    assert outputs.shape == (2, 9, 2)
    torch.testing.assert_close(outputs[1, :3], model(inputs[1:, :3])[0])


def test_it_fits_one_batch(quiet_trainer: Callable[..., Any], record_figure: Callable[[str], None]) -> None:
    inputs, counts = padded([20, 11, 15, 9, 18, 12], 20)
    batch = Batch(inputs, torch.arange(6) % 3, counts)
    model = built()
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    before = model.step(batch).loss.item()
    quiet_trainer(max_steps=80).fit(model, torch.utils.data.DataLoader([batch] * 80, batch_size=None))
    after = model.train().step(batch).loss.item()
    record_figure(f"cnn1d: loss {after:.2g} on one batch, before training {before:.2g}")
    assert after < 0.02 * before


def test_metrics_do_not_depend_on_the_batch_size(quiet_trainer: Callable[..., Any]) -> None:
    model = CNN1d(Waves(samples=60).prepare().spec, **SMALL)
    results = []
    for size in (1, 5, 60):
        data = Waves(samples=60, test_fraction=0.5, eval_batch_size=size)
        results.append(quiet_trainer().test(model, datamodule=data, verbose=False)[0])
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (4, 4)}, "channels has 2 entries, but kernel_sizes has 3"),
        ({"channels": (), "kernel_sizes": ()}, "the number of convolutions must be at least 1"),
        ({"channels": (4, 0, 4)}, r"channels\[1\] must be at least 1, not 0"),
        ({"kernel_sizes": (8, 5, 0)}, r"kernel_sizes\[2\] must be at least 1, not 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CNN1d(SPEC, **settings)


def test_values_are_predicted() -> None:
    assert built(Spec(SPEC.input, Values(("y",), (1.0,), (2.0,))))(*padded([4, 9], 9)).shape == (2, 1)
