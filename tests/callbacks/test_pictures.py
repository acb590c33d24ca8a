"""Pictures of a test: which are drawn, where they are sent, and that they never stop a run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers.pictures import EVERYTHING, pictures_of

from primer.callbacks import Pictures
from primer.cli.checks import check_command
from primer.cli.composition import compose_checked
from primer.config.paths import ROOT
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.convolutional.lenet import LeNet
from primer.models.feedforward.linear import Linear
from primer.models.feedforward.mlp import MLP
from primer.models.recurrent.gru import GRU
from primer.reports import figures
from primer.reports import images as drawing
from primer.run.training import train

SHORT_RUN = ("trainer.max_epochs=1", "accelerator=cpu")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (MLP, ["activations", "confusion", "filters", "mistakes", "probabilities"]),
        (lambda spec: MLP(spec, hidden_sizes=()), ["confusion", "filters", "mistakes", "probabilities"]),
        (Linear, ["confusion", "filters", "mistakes", "probabilities"]),
        (LeNet, EVERYTHING),
        (lambda spec: LeNet(spec, variant="classic"), EVERYTHING[1:]),
        (lambda spec: GRU(spec, hidden_size=32), ["confusion", "mistakes", "probabilities"]),
    ],
    ids=["mlp", "mlp-without-hidden", "linear", "lenet", "classic", "gru"],
)
def test_pictures_of_each_model(build, expected, quiet_trainer, tmp_path, capsys) -> None:
    data = Digits().prepare()
    assert pictures_of(build(data.spec), data, tmp_path / "pictures", quiet_trainer) == expected
    assert "warning" not in capsys.readouterr().out
    for path in (tmp_path / "pictures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_no_picture_of_mistakes_without_mistakes(quiet_trainer, tmp_path) -> None:
    data = Digits().prepare()
    part = data.parts["test"]
    data.parts["test"] = part.select((part.targets == 0).nonzero().squeeze(1))  # type: ignore[operator,union-attr]
    assert pictures_of(Linear(data.spec), data, tmp_path, quiet_trainer) == ["confusion", "filters", "probabilities"]


def test_pictures_do_not_depend_on_batch_size(quiet_trainer, tmp_path) -> None:
    torch.manual_seed(0)
    data = Digits().prepare()
    model = LeNet(data.spec)
    contents = []
    for size in (1, 7, 1024):
        data.eval_batch_size = size
        folder = tmp_path / str(size)
        assert pictures_of(model, data, folder, quiet_trainer) == EVERYTHING
        contents.append([(folder / f"{name}.png").read_bytes() for name in ("confusion", "filters", "mistakes")])
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("images", [0, 1])
def test_pictures_can_be_disabled(images: int, quiet_trainer, tmp_path) -> None:
    data = Digits().prepare()
    names = pictures_of(LeNet(data.spec), data, tmp_path, quiet_trainer, images=images, mistakes=0)
    assert names == ["activations", "confusion", *(["feature_maps"] if images else []), "filters", "probabilities"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_pictures_in_bfloat16(precision, quiet_trainer, tmp_path, capsys) -> None:
    data = Digits().prepare()
    model = LeNet(data.spec)
    assert pictures_of(model, data, tmp_path, quiet_trainer, precision=precision) == EVERYTHING
    assert "warning" not in capsys.readouterr().out


def test_pictures_of_a_diverged_network(quiet_trainer, tmp_path, capsys) -> None:
    data = Digits().prepare()
    model = LeNet(data.spec)
    for parameter in model.parameters():
        parameter.detach().fill_(math.nan)
    assert pictures_of(model, data, tmp_path, quiet_trainer) == EVERYTHING
    assert "warning" not in capsys.readouterr().out


def test_model_whose_test_step_returns_nothing(quiet_trainer, tmp_path, capsys) -> None:
    class Silent(LeNet):
        def test_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            super().test_step(batch, batch_idx)

    data = Digits().prepare()
    names = pictures_of(Silent(data.spec), data, tmp_path, quiet_trainer)
    assert names == ["activations", "confusion", "feature_maps", "filters", "probabilities"]
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["draw_filters", "png"])
def test_failing_picture_prints_a_warning_and_does_not_stop_the_run(
    broken, command, monkeypatch, tmp_path, capsys
) -> None:
    def fail(*arguments: Any) -> Any:
        raise RuntimeError("no\n paint")

    monkeypatch.setattr(figures if broken == "png" else drawing, broken, fail)
    metrics = train(command("train", "run", *SHORT_RUN, "model=lenet"))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    printed = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    names = (
        ["filters"]
        if broken == "draw_filters"
        else ["curves", "confusion", "probabilities", "activations", "filters", "feature_maps", "mistakes"]
    )
    assert printed == [f"warning: pictures/{name}.png was not drawn: RuntimeError: no paint" for name in names]
    drawn = {path.stem for path in (tmp_path / "run" / "pictures").glob("*")}
    assert drawn == ({"curves", *EVERYTHING} - {"filters"} if broken == "draw_filters" else set())


def test_failing_batch_prints_a_warning_and_disables_its_pictures(quiet_trainer, tmp_path, capsys) -> None:
    class Odd(LeNet):
        def test_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            outputs = super().test_step(batch, batch_idx)
            assert outputs is not None
            return outputs[:-1] if batch_idx == 2 else outputs

    data = Digits(eval_batch_size=30).prepare()
    assert pictures_of(Odd(data.spec), data, tmp_path, quiet_trainer) == [
        "activations",
        "confusion",
        "feature_maps",
        "filters",
        "probabilities",
    ]
    printed = capsys.readouterr().out
    assert printed.count("warning") == 1
    assert f"{tmp_path.name}/mistakes.png was not drawn" in printed


@pytest.mark.parametrize("name", ["images", "mistakes"])
def test_negative_number_is_rejected(name: str) -> None:
    with pytest.raises(InputError, match=rf"callbacks.pictures.{name} must be at least 0, not -1"):
        Pictures("x", **{name: -1})


def test_pictures_can_be_removed_on_the_command_line(command, tmp_path) -> None:
    check_command("train", ["~callbacks.pictures"])
    default, reduced = (
        set(compose_checked("train", overrides).callbacks) for overrides in ([], ["~callbacks.pictures"])
    )
    assert default - reduced == {"pictures"}
    train(command("train", "run", *SHORT_RUN, "~callbacks.pictures"))
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "pictures").exists()
    with pytest.raises(InputError, match="did you mean mistakes"):
        check_command("train", ["callbacks.pictures.mistaks=3"])


def test_pictures_are_sent_to_loggers(command, tmp_path, monkeypatch) -> None:
    pytest.importorskip("wandb")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("WANDB_API_KEY", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    train(command("train", "run", *SHORT_RUN, "model=lenet", "logger=many", "logger.wandb.mode=offline"))
    run = tmp_path / "run"
    media = list(run.glob("wandb/offline-run-*/files/media/images/pictures/*.png"))
    expected = sorted(["curves", *EVERYTHING])
    assert sorted(path.name.rsplit("_", 2)[0] for path in media) == expected
    for path in media:
        name = path.name.rsplit("_", 2)[0]
        assert path.read_bytes() == (run / "pictures" / f"{name}.png").read_bytes()
    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    assert sorted(events.Tags()["images"]) == [f"pictures/{name}" for name in expected]


@pytest.mark.slow
def test_two_processes_draw_the_same_pictures_as_one(tmp_path) -> None:
    folders = []
    for name, devices in (("two", ("accelerator=ddp_cpu", "accelerator.devices=2")), ("one", ("accelerator=cpu",))):
        common = ("model=lenet", "trainer.max_epochs=1", "data.batch_size=50", f"paths.log_dir={tmp_path}/{name}")
        command = [sys.executable, "train.py", *devices, *common]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stdout
        folders += (tmp_path / name).glob("train/runs/*/pictures")
    two, one = ({path.stem: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert sorted(two) == sorted(one) == sorted(["curves", *EVERYTHING])
    assert two["confusion"] == one["confusion"]
    assert two["mistakes"] == one["mistakes"]
