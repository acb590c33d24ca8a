"""Windows over time series, chronological splits, and naive forecasts."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from primer.batch import Batch
from primer.data.loading.scaling import standardize
from primer.data.series.series import TimeSeries
from primer.errors import InputError
from primer.models.recurrent.gru import GRU
from primer.spec import Series, Values


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Forty steps: x counts them from 0, y is its square, z is constant."""
    path = tmp_path / "some.csv"
    path.write_text("t,x,y,z\n" + "".join(f"{1900 + k},{k},{k * k},7\n" for k in range(40)))
    return path


def build(file: Path | str, **settings: Any) -> TimeSeries:
    return TimeSeries(**{"path": file, "target": "x", "window": 4, "time": "t", **settings}).prepare()


def part(data: TimeSeries, name: str) -> Batch:
    batch = data.parts[name]  # type: ignore[index]
    assert isinstance(batch, Batch)
    return batch


def first_values(values: Tensor) -> list[int]:
    return values.flatten(1)[:, 0].int().tolist()


def test_windows_and_targets(file: Path) -> None:
    data = build(file, target=["y", "x"], covariates=["z", "x"], horizon=3)
    train = part(data, "train")
    assert train.inputs.shape == (22, 4, 3)
    assert train.inputs[5].tolist() == [[25, 5, 7], [36, 6, 7], [49, 7, 7], [64, 8, 7]]
    assert train.targets is not None
    assert train.targets[5].tolist() == [81, 100, 121, 9, 10, 11]
    assert isinstance(data.spec.target, Values)
    assert data.spec.target.names == ("y t+1", "y t+2", "y t+3", "x t+1", "x t+2", "x t+3")


@pytest.mark.parametrize(("horizon", "stride", "window"), [(1, 1, 4), (3, 1, 4), (3, 2, 4), (2, 5, 9), (4, 4, 1)])
def test_targets_lie_within_their_part_and_windows_advance_by_stride(
    horizon: int, stride: int, window: int, file: Path
) -> None:
    data = build(file, horizon=horizon, stride=stride, window=window)
    for name, start, end in (("train", window, 28), ("val", 28, 32), ("test", 32, 40)):
        batch = part(data, name)
        assert batch.targets is not None
        assert first_values(batch.targets) == list(range(start, end - horizon + 1, stride))
        assert batch.targets.max() < end
        assert first_values(batch.inputs) == [first - window for first in first_values(batch.targets)]
        assert torch.equal(batch.inputs[:, -1, 0] + 1, batch.targets[:, 0])


def test_training_is_shuffled_and_testing_is_in_order(file: Path) -> None:
    data = build(file, batch_size=8)
    torch.manual_seed(0)
    train, test = list(data.train_dataloader()), list(data.test_dataloader())
    order = first_values(torch.cat([batch.targets for batch in train if batch.targets is not None]))
    assert order != sorted(order) == list(range(4, 28))
    assert first_values(test[0].targets) == list(range(32, 40))  # type: ignore[arg-type]


def test_scale_is_estimated_on_the_training_part(file: Path, tmp_path: Path) -> None:
    text = file.read_text().splitlines()
    changed = tmp_path / "changed.csv"
    changed.write_text("\n".join([*text[:29], *(f"{1900 + k},999,{-k},8" for k in range(28, 40))]))
    before, after = (build(path, covariates=["y"], horizon=2, season=3).spec for path in (file, changed))
    assert before == after
    count, square = torch.arange(28.0).double(), torch.arange(28.0).double() ** 2
    assert isinstance(before.input, Series)
    assert before.input.mean == pytest.approx((13.5, square.mean().item()))
    assert before.input.std == pytest.approx((count.std(correction=0).item(), square.std(correction=0).item()))
    assert isinstance(before.target, Values)
    assert before.target.mean == pytest.approx((13.5, 13.5))
    assert before.target.std == pytest.approx((before.input.std[0],) * 2)
    scale = standardize(before.input)
    assert scale is not None
    data = build(file, covariates=["y"], batch_size="full")
    (batch,) = data.train_dataloader()
    torch.testing.assert_close(batch.inputs, scale(part(data, "train").inputs))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_have_a_rolling_forecast_origin(folds: int, file: Path) -> None:
    tested: list[int] = []
    for fold in range(folds):
        data = build(file, window=2, folds=folds, fold=fold)
        targets = {name: part(data, name).targets.flatten().int().tolist() for name in ("train", "val", "test")}  # type: ignore[union-attr]
        before = targets["train"] + targets["val"]
        assert before == list(range(2, targets["test"][0]))
        assert len(targets["val"]) == round(0.1 * targets["test"][0])
        tested += targets["test"]
    assert tested == list(range(40 // (folds + 1), 40))


def test_train_size_keeps_the_most_recent_samples(file: Path) -> None:
    data = build(file, train_size=5, horizon=2, stride=2)
    targets = part(data, "train").targets
    assert targets is not None
    assert first_values(targets) == [18, 20, 22, 24, 26]
    assert isinstance(data.spec.input, Series)
    assert data.spec.input.mean == pytest.approx((sum(range(14, 28)) / 14,))
    with pytest.raises(InputError, match="train_size=13, but the training part has 12 samples"):
        build(file, train_size=13, horizon=2, stride=2)


def test_naive_errors_are_computed_per_step_ahead(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    values = [(17 * k) % 11 for k in range(80)]
    path.write_text("x,z\n" + "".join(f"{value},{k}\n" for k, value in enumerate(values)))
    train = values[: 80 - 16 - 8]

    def error(lag: int) -> float:
        return sum(abs(train[k] - train[k - lag]) for k in range(lag, len(train))) / (len(train) - lag)

    target = build(path, time=None, horizon=7, season=3).spec.target
    assert isinstance(target, Values)
    assert target.naive == pytest.approx([error(lag) for lag in (1, 2, 3, 4, 5, 6, 7)])
    assert target.seasonal == pytest.approx([error(lag) for lag in (3, 3, 3, 6, 6, 6, 9)])
    assert target.continues == (0,) * 7
    target = build(path, time=None, target=["x", "z"]).spec.target
    assert isinstance(target, Values)
    assert target.naive == pytest.approx([error(1), 1.0])
    assert target.seasonal == ()


def test_naive_errors_of_zero_are_omitted(file: Path) -> None:
    target = build(file, target=["x", "z"], season=2).spec.target
    assert isinstance(target, Values)
    assert target.naive == target.seasonal == ()


def test_paths_are_looked_up_in_the_data_folder_first(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert part(build("some.csv"), "test").size == 8
    other = tmp_path / "other"
    other.mkdir()
    (other / "some.csv").write_text("t,x\n" + "".join(f"{k},{k}\n" for k in range(20)))
    assert part(build("some.csv", data_dir=other), "test").size == 4
    with pytest.raises(InputError, match=r"there is no file none\.csv"):
        build("none.csv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0}, "window must be at least 1, not 0"),
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"stride": -1}, "stride must be at least 1"),
        ({"season": 0}, "season must be at least 1"),
        ({"missing": "drop"}, "missing must be one of error, interpolate, not 'drop'"),
        ({"delimiter": "ab"}, "delimiter must be a single character"),
        ({"path": None}, "set data.path and data.target"),
        ({"target": None}, "set data.path and data.target"),
        ({"target": "w"}, "does not have a column 'w'"),
        ({"window": 28}, "some.csv, line 41: the series ends after 40 steps, and its training part of 28 steps is too "
            "short for window=28, horizon=1: it needs 29"),
        ({"horizon": 5}, "its validation part of 4 steps is too short for window=4, horizon=5: it needs 5"),
        ({"horizon": 9, "val_fraction": 0}, "its test part of 8 steps is too short"),
        ({"folds": 9}, "line 41: the series ends after 40 steps, and its training part of 4 steps is too short"),
        ({"test_fraction": 0}, "test_fraction=0 leaves no steps for testing"),
        ({"season": 28}, "season=28, horizon=1: the seasonal naive forecast looks back 28 steps, but the training part "
            "has only 28 steps"),
    ],
)  # fmt: skip
def test_invalid_settings_are_reported_in_one_line(settings: dict[str, Any], message: str, file: Path) -> None:
    with pytest.raises(InputError) as error:
        build(settings.pop("path", file), **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_validation_part_may_be_empty(file: Path) -> None:
    data = build(file, val_fraction=0.0, horizon=3)
    assert [part(data, name).size for name in ("train", "val", "test")] == [26, 0, 6]
    assert data.val_dataloader() == []


def test_embedded_series() -> None:
    sunspots = build("sunspots", target="sunspots", time="year", window=1, val_fraction=0.0)
    targets = torch.cat([part(sunspots, name).targets for name in ("train", "test")]).flatten()  # type: ignore[misc]
    assert len(targets) == 308
    assert targets[1957 - 1701] == targets.max() == pytest.approx(190.2)  # The highest maximum on record.
    assert targets[1810 - 1701] == 0
    co2 = build("co2", target="co2", time="month", window=1, season=12, missing="interpolate")
    batch = part(co2, "test")
    assert [part(co2, name).size for name in ("train", "val", "test")] == [367, 53, 105]
    assert batch.targets is not None
    assert batch.targets[-1].item() == pytest.approx(371.02)
    assert isinstance(co2.spec.target, Values)
    assert co2.spec.target.seasonal[0] == pytest.approx(1.3, abs=0.2)  # The yearly increase.
    with pytest.raises(InputError, match="line 5: 'co2' is missing"):
        build("co2", target="co2", time="month")


def test_dates_and_numbers_in_other_formats(tmp_path: Path) -> None:
    """German dates and decimal commas, a title and a line of units."""
    path = tmp_path / "some.csv"
    rows = [f"{1 + k % 28:02}.{1 + k // 28:02}.2020;{k},5\n" for k in range(28)]
    path.write_text("Messwerte\nTag;v\nTT.MM.JJJJ;kg\n" + "".join(rows[::-1]))
    settings: dict[str, Any] = {"target": "v", "time": "Tag", "delimiter": ";", "skip_rows": [1, 3]}
    with pytest.raises(InputError, match=r"line 4: the time '28\.01\.2020' .*; set data\.time_format=%d\.%m\.%Y$"):
        TimeSeries(path, window=4, **settings).prepare()
    with pytest.raises(InputError, match=r"line 31: 'v' is '0,5', not a number: set \"data\.decimal=','\" to read it$"):
        TimeSeries(path, window=4, time_format="%d.%m.%Y", **settings).prepare()
    data = TimeSeries(path, window=4, time_format="%d.%m.%Y", decimal=",", **settings).prepare()
    assert part(data, "train").inputs[0, :, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    with pytest.raises(InputError, match=r"is not a date in the format data\.time_format=%Y$"):
        TimeSeries(path, window=4, time_format="%Y", decimal=",", **settings | {"time": "v"}).prepare()


def test_dates_with_slashes_may_have_two_formats(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("t,v\n" + "".join(f"01/{1 + k:02}/2020 00:00,{k}\n" for k in range(28)))
    with pytest.raises(
        InputError, match=r"set \"data\.time_format='%m/%d/%Y %H:%M'\" or \"data\.time_format='%d/%m/%Y"
    ):
        TimeSeries(path, "v", time="t", window=4).prepare()
    assert TimeSeries(path, "v", time="t", window=4, time_format="%m/%d/%Y %H:%M").prepare().parts["test"].size


def test_an_offset_changes_no_figure(tmp_path: Path, quiet_trainer: Any) -> None:
    def fit(offset: float) -> dict[str, float]:
        path = tmp_path / "some.csv"
        path.write_text("v\n" + "".join(f"{offset + 50 * math.sin(k / 5):.4f}\n" for k in range(120)))
        data = TimeSeries(path, "v", window=8, horizon=2, season=4, batch_size=16).prepare()
        torch.manual_seed(0)
        model = GRU(data.spec, hidden_size=8)
        model.optimizer = partial(torch.optim.Adam, lr=0.02)
        trainer = quiet_trainer(max_epochs=3)
        trainer.fit(model, datamodule=data)
        return trainer.test(model, datamodule=data, verbose=False)[0]

    expected = fit(0)
    assert expected["test/r2"] > 0.3
    assert fit(1.7e9) == pytest.approx(expected, rel=1e-3)
