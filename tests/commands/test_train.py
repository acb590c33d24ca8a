"""The commands for a run, from the first line to the run folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from primer.checks import composed
from primer.regularization import Regularization
from primer.training import build_data, build_model, train

ROOT = Path(__file__).resolve().parents[2]
SHORT = "trainer.max_epochs=2"


def config_of(*overrides: str) -> dict[str, Any]:
    cfg = composed("train", list(overrides))
    cfg.paths.output_dir = "unused"
    OmegaConf.update(cfg, "hydra", None)
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def figures(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_leaves_all_of_it_in_its_folder(here) -> None:
    done = here("train.py", SHORT, "optimizer.lr=0.002")
    assert done.status == 0, done.err
    folder = done.folder
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    wanted = {
        "config.yaml",
        "overrides.yaml",
        "environment.json",
        "metrics.csv",
        "metrics.json",
        "report.txt",
        "train.log",
    }
    assert wanted | {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["optimizer"]["lr"] == 0.002
    assert "${" not in (folder / "config.yaml").read_text()
    assert "optimizer.lr=0.002" in yaml.safe_load((folder / "overrides.yaml").read_text())
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["train/loss"]) > 0 and float(row["val/loss"]) > 0 for row in rows)
    metrics = figures(folder)
    assert metrics["epochs"] == 2
    assert metrics["steps"] == 2 * 20
    assert {"test/accuracy", "test/loss", "val/loss", "train/loss", "fit_seconds"} <= metrics.keys()
    assert float(rows[-1]["val/loss"]) == pytest.approx(metrics["val/loss"], rel=1e-6)
    assert "17,610 parameters" in done.out
    for name in ("best", "last"):
        torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def test_evaluation_gives_to_the_last_digit_what_training_printed(here) -> None:
    folder = here("train.py", SHORT, "regularization=strong").folder
    trained = {name: value for name, value in figures(folder).items() if name.startswith("test/")}
    for choice in (f"run={folder}", f"ckpt={folder}/checkpoints/best.ckpt"):
        done = here("evaluate.py", choice)
        assert done.status == 0, done.err
        assert figures(done.folder) == trained


def test_evaluation_of_another_part(here) -> None:
    done = here("train.py", SHORT)
    validated = here("evaluate.py", f"ckpt={done.folder}/checkpoints/last.ckpt", "part=val")
    assert figures(validated.folder)["test/loss"] == pytest.approx(figures(done.folder)["val/loss"], rel=1e-6)


def test_the_same_command_gives_the_same_weights_and_seed_0_is_a_seed(here) -> None:
    def weights(seed: str) -> torch.Tensor:
        folder = here("train.py", SHORT, f"seed={seed}", "regularization.dropout=0.3").folder
        state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return torch.cat([tensor.flatten() for tensor in state.values()])

    first, again, other = weights("0"), weights("0"), weights("1")
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_drawn_seed_is_recorded(here) -> None:
    seeds = []
    for _ in range(2):
        folder = here("train.py", "debug=fast", "seed=null").folder
        seeds.append(yaml.safe_load((folder / "config.yaml").read_text())["seed"])
    assert seeds[0] != seeds[1]
    assert all(isinstance(seed, int) for seed in seeds)


def equal_but_for_the_time(one: Path, other: Path) -> bool:
    a, b = ({k: v for k, v in figures(folder).items() if "seconds" not in k} for folder in (one, other))
    return a == b


def epoch_of(file: Path) -> int:
    return torch.load(file, weights_only=True)["epoch"]


@pytest.mark.parametrize(
    ("settings", "best"),
    [
        (("regularization.dropout=0.3", "scheduler=exponential"), 3),
        (("mode=max", "regularization.ema=0.9"), 0),  # The loss is largest, and so best, before the break.
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(here, settings, best) -> None:
    whole = here("train.py", "trainer.max_epochs=4", *settings).folder
    half = here("train.py", "trainer.max_epochs=2", *settings).folder
    rest = here("train.py", "trainer.max_epochs=4", *settings, f"resume={half}").folder
    for folder, last in ((whole, 3), (half, 1), (rest, 3)):
        assert epoch_of(folder / "checkpoints/last.ckpt") == last
        assert epoch_of(folder / "checkpoints/best.ckpt") == min(best, last)
    for name in ("last", "best"):
        states = [torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (whole, rest)]
        for parameter, tensor in states[0]["state_dict"].items():
            assert torch.equal(tensor, states[1]["state_dict"][parameter]), parameter
    assert equal_but_for_the_time(whole, rest)


def test_a_run_is_resumed_twice_and_from_a_file_alone(here, tmp_path) -> None:
    common = ("data=iris", "mode=max")
    runs = [here("train.py", *common, "trainer.max_epochs=1").folder]
    for epochs in (2, 3):
        runs.append(here("train.py", *common, f"trainer.max_epochs={epochs}", f"resume={runs[-1]}").folder)
    assert epoch_of(runs[-1] / "checkpoints/best.ckpt") == 0
    assert equal_but_for_the_time(runs[-1], here("train.py", *common, "trainer.max_epochs=3").folder)

    kept = shutil.copy(runs[1] / "checkpoints/last.ckpt", tmp_path / "kept.ckpt")
    for folder in runs:
        shutil.rmtree(folder / "checkpoints")
    done = here("train.py", *common, "trainer.max_epochs=4", f"resume={kept}")
    assert done.status == 0, done.err
    assert "best.ckpt with val/loss=" in done.out
    assert "is gone; the best is what comes from now on" in done.out
    assert epoch_of(done.folder / "checkpoints/best.ckpt") == 2


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (("data=iris", "data.split_seed=1"), "was trained on other data: input scale: "),
        (("data=wine",), "was trained on other data: input features: 4 there, 13 here; "),
        (("data=iris", "model=linear"), "is of the model MLP, and this run's is Linear"),
    ],
    ids=str,
)
def test_other_data_and_models_are_not_resumed(here, iris, overrides, wanted) -> None:
    done = here("train.py", "trainer.max_epochs=3", *overrides, f"resume={iris}")
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1
    assert wanted in done.err


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Path:
    """The run folder of an MLP on irises."""
    folder = tmp_path_factory.mktemp("iris")
    cfg = composed("train", ["data=iris", "trainer.max_epochs=1", "logger=none", "accelerator=cpu"])
    OmegaConf.update(cfg, "hydra", None)
    cfg.paths.output_dir = str(folder)
    train(cfg)
    return folder


@pytest.mark.parametrize(("epochs", "learning"), [(1, {"head"}), (2, {"head", "hidden"})])
def test_layers_join_in_the_course_of_a_run(here, iris, epochs, learning) -> None:
    gradual = ("transfer=gradual", "transfer.epochs=[2]", f"trainer.max_epochs={epochs}")
    done = here("train.py", "data=iris", f"weights={iris}", *gradual)
    assert done.status == 0, done.err
    files = [folder / "checkpoints/last.ckpt" for folder in (iris, done.folder)]
    before, after = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == learning


def test_a_sweep_runs_each_combination(here, tmp_path) -> None:
    done = here("train.py", "-m", "model=mlp,linear", "seed=0,1", "debug=fast")
    assert done.status == 0, done.err
    folders = [line.removeprefix("run: ") for line in done.out.splitlines() if line.startswith("run: ")]
    assert len(folders) == 4
    configs = [yaml.safe_load((Path(folder) / "config.yaml").read_text()) for folder in folders]
    models = [config["model"]["_target_"].split(".")[-1] for config in configs]
    assert models == ["MLP", "MLP", "Linear", "Linear"]
    assert [config["seed"] for config in configs] == [0, 1, 0, 1]


def test_early_stopping_stops(here) -> None:
    metrics = figures(
        here("train.py", "trainer.max_epochs=50", "regularization.early_stopping.patience=1", "optimizer.lr=0.0").folder
    )
    assert metrics["epochs"] == 2


def test_a_run_that_diverges_is_stopped_with_a_line(here) -> None:
    done = here("train.py", "data=diabetes", "optimizer=sgd", "optimizer.lr=1e12")
    assert "stopped: train/loss is" in done.out
    assert json.loads((done.folder / "metrics.json").read_text())["epochs"] < 20


def test_without_validation_the_training_loss_decides(here) -> None:
    done = here("train.py", SHORT, "data.val_fraction=0")
    assert done.status == 0, done.err
    assert (done.folder / "checkpoints/best.ckpt").exists()
    assert epoch_of(done.folder / "checkpoints/last.ckpt") == 1
    assert not any(name.startswith("val/") for name in figures(done.folder))


@pytest.mark.parametrize("debug", ["fast", "limit", "profile"])
def test_debug(here, debug) -> None:
    done = here("train.py", f"debug={debug}")
    assert done.status == 0, done.err
    assert "/debug/runs/" in str(done.folder)


def test_debug_overfit_reaches_a_training_loss_near_zero(here) -> None:
    assert figures(here("train.py", "debug=overfit").folder)["train/loss"] < 0.05


@pytest.mark.parametrize("logger", ["none", "csv", "tensorboard"])
def test_loggers(here, logger) -> None:
    folder = here("train.py", "debug=fast", f"logger={logger}").folder
    assert (folder / "metrics.csv").exists() is (logger != "none")
    assert bool(list(folder.rglob("events.out.tfevents*"))) is (logger == "tensorboard")


@pytest.mark.parametrize(
    "flag",
    [
        "trainer.precision=bf16-mixed",
        "trainer.gradient_clip_val=1",
        "trainer.deterministic=true",
    ],
)
def test_flags_of_the_trainer(here, flag) -> None:
    done = here("train.py", "debug=fast", "trainer.detect_anomaly=false", flag)
    assert done.status == 0, done.err


def test_settings_of_ones_own(apart, tmp_path) -> None:
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    shutil.copy(ROOT / "train.py", tmp_path)
    (tmp_path / "configs/local").mkdir()
    own = "# @package _global_\nseed: 3\ntest: false\noptimizer:\n  lr: 0.0123\ntrainer:\n  max_epochs: 3\n"
    (tmp_path / "configs/local/default.yaml").write_text(own)
    for chosen, wanted in ((), (3, 0.0123, 3)), (("experiment=mnist_lenet",), (3, 0.005, 8)):
        done = apart("train.py", *chosen, "--cfg", "job", cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
        config = yaml.safe_load(done.out)
        assert (config["seed"], config["optimizer"]["lr"], config["trainer"]["max_epochs"]) == wanted
    evaluates = "from primer.checks import check_command; check_command('evaluate', ['run=x'])"
    assert apart("-c", evaluates, cwd=tmp_path, PYTHONPATH=str(tmp_path / "src")).status == 0


@pytest.mark.parametrize(
    ("command", "where"),
    [
        (("train.py", "resume=nowhere"), "hydra.run.dir"),
        (("train.py", "optimizer.lr=-1"), "hydra.run.dir"),  # Refused when the config is written already.
        (("train.py", "optimizer.lr=-1", "logger=tensorboard"), "hydra.run.dir"),
        (("train.py", "-m", "resume=nowhere", "hydra.sweep.subdir=."), "hydra.sweep.dir"),
        (("train.py", "resume=nowhere"), "paths.output_dir"),
        (("evaluate.py", "run=nowhere"), "hydra.run.dir"),
    ],
    ids=str,
)
def test_a_refused_run_takes_away_what_it_wrote_and_nothing_else(here, tmp_path, command, where) -> None:
    files = {
        "thesis.txt": "years of work",
        "train.log": "of another run",
        "data/table.csv": "a,b",
        "config.yaml": "a: 1",
    }
    for name, text in files.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    done = here(*command, f"{where}={tmp_path}/mine")
    assert done.status == 2, done.out + done.err
    left = {path.relative_to(tmp_path / "mine").as_posix() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    assert left - {"multirun.yaml"} == files.keys()  # Hydra's own note of a sweep.
    assert all((tmp_path / "mine" / name).read_text().endswith(files[name]) for name in files if name != "config.yaml")
    assert not list((tmp_path / "logs").rglob("*"))


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (("accelerator=gpu",), "accelerator=cpu"),
        (("accelerator=tpu",), "accelerator=cpu"),
        (("data=csv", "data.path=nowhere.csv", "data.target=y"), "nowhere.csv"),
        (("data=csv",), "data.path"),
        (("data.folds=5", "data.fold=7"), "from 0 to 4"),
        (("data.val_fraction=0.9",), "val_fraction=0.9"),
        (("regularization.dropout=1.5",), "regularization.dropout"),
        (("optimizer.lr=-1",), "learning rate"),
        (("scheduler.warmup=1000",), "scheduler.warmup=1000"),
        (("scheduler=lambda", "scheduler.formula='__import__(1)'"), "formula"),
        (("resume=nowhere",), "nowhere"),
        (("model.hidden_sizes=[0]",), "hidden_sizes must be at least 1"),
        (("data.batch_size=1", "model.normalization=batch"), "data.batch_size=1"),
        (("monitor=val/acuracy",), "monitor=val/acuracy: this run measures no such thing; did you mean val/accuracy?"),
        (("scheduler=plateau", "scheduler.monitor=val/rmse"), "scheduler.monitor=val/rmse"),
    ],
    ids=str,
)
def test_a_mistake_that_only_shows_later_gets_one_line_too(here, tmp_path, overrides, hint) -> None:
    if overrides == ("accelerator=gpu",) and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = here("train.py", *overrides)
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert hint in done.err
    assert not list((tmp_path / "logs").rglob("*.*"))


def test_a_checkpoint_that_names_other_code_is_refused(here, tmp_path) -> None:
    folder = here("train.py", "debug=fast").folder
    content = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    for part, target in (
        ("model", "os.system"),
        ("model", "torch.hub.load"),
        ("objective", "primer.training.os.system"),
    ):
        forged = {**content, "primer": {**content["primer"], part: {"_target_": target}}}
        torch.save(forged, tmp_path / "forged.ckpt")
        done = here("evaluate.py", f"ckpt={tmp_path}/forged.ckpt")
        assert done.status == 2
        assert target in done.err
    forged = {
        **content,
        "primer": {**content["primer"], "config": {**content["primer"]["config"], "data": {"_target_": "os.system"}}},
    }
    torch.save(forged, tmp_path / "forged.ckpt")
    assert "os.system" in here("evaluate.py", f"ckpt={tmp_path}/forged.ckpt").err


COMPILER = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler, and there is none"
)


@COMPILER
def test_compile_and_channels_last_reach_the_model() -> None:
    config = config_of("model=lenet", "trainer.compile=true", "trainer.channels_last=true")
    data = build_data(config)
    plain, fast = (
        build_model(changed, data, Regularization())
        for changed in (config | {"trainer": config["trainer"] | {"compile": False, "channels_last": False}}, config)
    )
    assert fast._compiled_call_impl is not None
    assert plain._compiled_call_impl is None
    kernels = [parameter for parameter in fast.parameters() if parameter.ndim == 4 and parameter.shape[1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    fast.load_state_dict(plain.state_dict())
    batch = next(iter(data.test_dataloader()))
    torch.testing.assert_close(fast.eval().respond(batch), plain.eval().respond(batch), atol=1e-5, rtol=1e-5)


@COMPILER
@pytest.mark.slow
def test_a_compiled_model_is_trained_saved_tested_and_pictured(here) -> None:
    common = ("model=lenet", "trainer.max_steps=2", "data.batch_size=32", "accelerator=cpu")
    plain, fast = (here("train.py", *common, f"trainer.compile={flag}") for flag in ("false", "true"))
    assert fast.status == 0, fast.err
    wanted, found = ({k: v for k, v in figures(run.folder).items() if k != "fit_seconds"} for run in (plain, fast))
    assert found == pytest.approx(wanted, rel=1e-3)
    states = [
        torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for run in (plain, fast)
    ]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, atol=1e-4, rtol=1e-3)
    pictures = [sorted(file.name for file in run.folder.glob("pictures/*")) for run in (plain, fast)]
    assert pictures[0] == pictures[1] != []
    assert here("evaluate.py", f"run={fast.folder}").status == 0


def test_compile_without_a_compiler_is_refused(here, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = here("train.py", "trainer.compile=true", "accelerator=cpu")
    assert done.status == 2
    assert done.err.strip() == (
        "error: trainer.compile=true needs the compiler no-such-compiler, which this machine has not: install it, or "
        "leave trainer.compile=false"
    )
