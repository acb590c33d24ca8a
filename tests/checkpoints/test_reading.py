"""Loading models from checkpoints, and files that are rejected."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf
from torch import nn
from torch.optim import Adam

import primer
from primer.checkpoints import reading
from primer.cli.composition import compose_checked
from primer.config.instantiate import check_target, instantiate, locate, targets
from primer.config.paths import PACKAGES
from primer.data.base import DataModule
from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.objectives import CrossEntropy, Objective
from primer.run.evaluation import evaluate
from primer.spec import Classes, Image, Sequence, Spec, Tokens, Values, Vector

DATA = {"_target_": "primer.data.images.digits.Digits", "batch_size": 20, "train_size": 100}
EVIL = [
    "os.system",
    "primer.run.accelerators.os.system",
    "torch.hub.load",
    "builtins.eval",
    "primer.records.run_folder.write",
]


class Small(MLP):
    """A model that passes its base arguments other than its own."""

    def __init__(self, spec: Spec, width: int = 4, objective: Objective | None = None) -> None:
        super().__init__(spec, hidden_sizes=(width, width), normalization="batch", objective=objective)


Saved = tuple[Path, Model, Digits]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Returns the run folder, the model and the data of a training run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    data = Digits(batch_size=20, train_size=100).prepare()
    objective = CrossEntropy(data.spec.target, label_smoothing=0.1)
    model = MLP(data.spec, hidden_sizes=[8], normalization="batch", dropout=np.float64(0.2), objective=objective)
    model.optimizer = partial(Adam, lr=0.01)
    model.config = {"data": DATA, "seed": 0, "model": {"_target_": "primer.models.feedforward.mlp.MLP"}}
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(model, data)
    (folder / "checkpoints").mkdir()
    trainer.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    return folder, model.eval(), data


def changed(saved: Saved, path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Saves a copy of the checkpoint after applying ``change`` to its content."""
    content = torch.load(saved[0] / "checkpoints" / "best.ckpt", weights_only=True)
    change(content)
    torch.save(content, path / "changed.ckpt")
    return path / "changed.ckpt"


def test_a_checkpoint_loads_without_running_code(saved: Saved) -> None:
    content = torch.load(saved[0] / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["primer"]["model"] == {
        "_target_": "primer.models.feedforward.mlp.MLP",
        "hidden_sizes": [8],
        "activation": "relu",
        "normalization": "batch",
        "initialization": "default",
        "dropout": 0.2,
    }
    assert content["primer"]["objective"] == {
        "_target_": "primer.objectives.classification.CrossEntropy",
        "label_smoothing": 0.1,
        "class_weights": None,
        "threshold": None,
    }
    assert Spec.from_dict(content["primer"]["spec"]) == saved[2].spec
    assert content["primer"]["config"]["data"] == DATA


@pytest.mark.parametrize("path", [".", "checkpoints/best.ckpt"])
def test_the_loaded_model_equals_the_saved_one(saved: Saved, path: str) -> None:
    folder, model, data = saved
    loaded = primer.load(folder / path)
    assert type(loaded) is MLP
    assert not loaded.training
    assert loaded.spec == model.spec
    assert isinstance(loaded.objective, CrossEntropy)
    assert loaded.objective.label_smoothing == 0.1
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(loaded.forward_batch(batch), model.forward_batch(batch))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}


def test_a_subclass_of_a_model_is_built_from_its_own_arguments(
    saved: Saved, tmp_path: Path, quiet_trainer: Callable[..., L.Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primer.models.feedforward.mlp.Small", Small, raising=False)
    monkeypatch.setattr(Small, "__module__", "primer.models.feedforward.mlp")
    data = saved[2]
    model = Small(data.spec, 5)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "small.ckpt")
    assert reading.read_checkpoint(tmp_path / "small.ckpt")["primer"]["model"] == {
        "_target_": "primer.models.feedforward.mlp.Small",
        "width": 5,
    }
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(primer.load(tmp_path / "small.ckpt").forward_batch(batch), model.eval().forward_batch(batch))


# Files that are rejected.


def test_find_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run folder or checkpoint .*nowhere"):
        reading.find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"there is no checkpoint in .*checkpoints"):
        reading.find_checkpoint(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert reading.find_checkpoint(tmp_path).name == "last.ckpt"
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    assert reading.find_checkpoint(str(tmp_path)).name == "best.ckpt"
    assert reading.find_checkpoint(tmp_path, ("last", "best")).name == "last.ckpt"
    assert reading.find_checkpoint(tmp_path / "checkpoints" / "last.ckpt").name == "last.ckpt"


class Harm:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('code was run')",))


def write(kind: str, path: Path) -> None:
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("seed: 0\n" * 100)
    elif kind == "bytes":
        path.write_bytes(bytes(range(256)) * 20)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.txt", "a")
    elif kind == "torn":
        torch.save({"primer": torch.rand(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "code":
        torch.save({"primer": Harm()}, path)
    elif kind == "module":
        torch.save(nn.Linear(2, 2), path)
    elif kind == "weights":
        torch.save(nn.Linear(2, 2).state_dict(), path)
    elif kind == "tensor":
        torch.save(torch.rand(3), path)
    elif kind == "hollow":
        torch.save({"primer": {}, "state_dict": {}}, path)


@pytest.mark.parametrize(
    "kind", ["empty", "text", "bytes", "zip", "torn", "code", "module", "weights", "tensor", "hollow"]
)  # fmt: skip
def test_a_file_that_is_not_a_checkpoint_is_rejected(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    write(kind, path)
    with pytest.raises(InputError, match="is not a checkpoint") as caught:
        primer.load(path)
    assert "file.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target", [*EVIL, "torch.nn.Linear", "primer.models.feedforward.mlp", "primer.models.feedforward.mlp.None", 3, None]
)
@pytest.mark.parametrize("part", ["model", "objective"])
def test_a_target_that_is_not_a_model_or_objective_is_rejected(
    saved: Saved, tmp_path: Path, part: str, target: Any
) -> None:
    path = changed(saved, tmp_path, lambda content: content["primer"][part].update(_target_=target))
    with pytest.raises(InputError):
        primer.load(path)


def test_weights_that_do_not_fit_the_model_are_rejected(saved: Saved, tmp_path: Path) -> None:
    path = changed(saved, tmp_path, lambda content: content["primer"]["model"].update(hidden_sizes=[9]))
    with pytest.raises(InputError, match="does not fit"):
        primer.load(path)


@pytest.mark.parametrize(
    ("trained", "current", "expected"),
    [
        (Tokens(("", "?", "a")), Tokens(("", "?", "a", "b")), ("input vocabulary", "3 entries", "4")),
        (Tokens(("", "?", "a")), Tokens(("", "?", "b")), ("input vocabulary", "'a'", "'b'")),
        (Tokens(("",), ("x",)), Tokens(("",)), ("input characters", "1 entries", "0")),
        (Vector(2, ("a", "b"), (0.0, 1.0)), Vector(2, ("a", "b"), (0.0, 1.5)), ("input scale", "1.0", "1.5")),
        (Vector(1, ("a",), (3.0000001,)), Vector(1, ("a",), (3.0,)), None),
        (Vector(1), Vector(2), ("input features", "1", "2")),
        (Vector(1), Image(1, 2, 2), ("input", "Vector", "Image")),
        (Image(1, 2, 2, (0.5,)), Image(1, 2, 2, (0.4,)), ("input scale", "0.5", "0.4")),
        (Classes(("a", "b")), Classes(("a", "c")), ("target classes", "'b'", "'c'")),
        (Values(("y",), (1.0,), (2.0,)), Values(("y",), (5.0,), (2.0,)), ("target scale", "1.0", "5.0")),
        (Sequence(("a",)), Sequence(("a",), end=4), ("target end", "3", "4")),
    ],
)
def test_differences_between_two_descriptions_of_data(
    trained: Any, current: Any, expected: tuple[str, str, str] | None
) -> None:
    side = "target" if isinstance(current, Classes | Values | Sequence) else "input"
    found = list(reading.differences(side, trained, current))
    assert found == ([] if expected is None else ["{}: {} in the checkpoint, {} in the data".format(*expected)])
    assert not list(reading.differences(side, current, current))


def evaluate_checkpoint(path: Path, tmp_path: Path) -> dict[str, float]:
    config = compose_checked("evaluate", [f"ckpt={path}", "accelerator=cpu", f"paths.output_dir={tmp_path}/out"])
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return evaluate(config)


def test_evaluation_needs_only_the_checkpoint(saved: Saved, tmp_path: Path) -> None:
    folder, model, data = saved
    metrics = evaluate_checkpoint(folder, tmp_path)
    test = next(iter(data.test_dataloader()))
    assert test.targets is not None
    assert metrics["test/accuracy"] == pytest.approx((model.predict_batch(test) == test.targets).float().mean().item())


@pytest.mark.parametrize("target", EVIL)
@pytest.mark.parametrize("depth", ["data", "within", "list"])
def test_evaluation_does_not_call_what_a_checkpoint_names(
    saved: Saved, tmp_path: Path, target: str, depth: str
) -> None:
    marker = tmp_path / "marker"
    evil = {
        "_target_": target, "command": f"touch {marker}", "path": marker, "text": "x", "repo_or_dir": str(tmp_path),
        "_args_": [f"touch {marker}"],
    }  # fmt: skip
    evil = {key: str(value) if isinstance(value, Path) else value for key, value in evil.items()}
    node = {"data": evil, "within": DATA | {"augmentation": evil}, "list": DATA | {"folds": [{"a": evil}]}}[depth]
    path = changed(saved, tmp_path, lambda content: content["primer"]["config"].update(data=node))
    with pytest.raises(InputError):
        evaluate_checkpoint(path, tmp_path)
    assert not marker.exists()


def test_evaluation_does_not_build_library_classes_within_the_data(saved: Saved, tmp_path: Path) -> None:
    node = DATA | {"augmentation": {"_target_": "torch.nn.Identity"}}
    path = changed(saved, tmp_path, lambda content: content["primer"]["config"].update(data=node))
    with pytest.raises(InputError, match=r"'torch.nn.Identity' is refused: within config.data it must be in primer"):
        evaluate_checkpoint(path, tmp_path)


# Targets.


def test_packages_are_matched_by_their_full_name() -> None:
    for name in PACKAGES:
        check_target(f"{name}.some.Thing")
        with pytest.raises(InputError, match="is refused"):
            check_target(f"{name}x.some.Thing")
    assert sorted(targets({"a": [{"_target_": "x"}, {"b": {"_target_": "y"}}], "_target_": "z"})) == ["x", "y", "z"]


def test_locate_returns_subclasses_of_the_expected_class() -> None:
    assert locate("primer.models.feedforward.mlp.MLP", Model) is MLP
    for target in ("primer.data.images.digits.Digits", "primer.objectives.auto", "primer.nowhere.Thing"):
        with pytest.raises(InputError):
            locate(target, Model)


def test_instantiate_checks_the_type_before_it_calls(tmp_path: Path) -> None:
    assert isinstance(instantiate(DATA, DataModule), Digits)
    logger = instantiate({"_target_": "primer.records.loggers.tensorboard", "folder": str(tmp_path)}, Logger)
    assert isinstance(logger, Logger)
    marker = tmp_path / "marker"
    with pytest.raises(
        InputError, match=r"primer.records.run_folder.write is not a DataModule, nor does it return one"
    ):
        instantiate({"_target_": "primer.records.run_folder.write", "path": marker, "text": ""}, DataModule)
    with pytest.raises(InputError, match=r"'primer.run.accelerators.os.system' is refused: it is defined in posix"):
        instantiate({"_target_": "primer.run.accelerators.os.system", "command": f"touch {marker}"}, DataModule)
    nested = {"_target_": "primer.records.run_folder.write", "path": marker, "text": ""}
    with pytest.raises(InputError, match="write is not an Augmentation, nor does it return one"):
        instantiate({**DATA, "augmentation": nested}, DataModule)
    with pytest.raises(InputError, match="batch_size does not take an object"):
        instantiate({**DATA, "batch_size": nested}, DataModule)
    assert not marker.exists()


def test_the_error_of_a_constructor_is_passed_on_unchanged() -> None:
    with pytest.raises(InputError, match=r"^batch_size must be at least 1"):
        instantiate(DATA | {"batch_size": 0}, DataModule)


@pytest.mark.parametrize(("number", "age"), [(1, "an older"), (None, "an older"), (99, "a newer")])
def test_a_checkpoint_of_another_format_is_rejected_in_one_line(
    number: int | None, age: str, saved: Any, tmp_path: Path
) -> None:
    def edit(content: dict[str, Any]) -> None:
        del content["primer"]["format"]
        content["primer"] |= {} if number is None else {"format": number}

    with pytest.raises(
        InputError, match=rf"was written by {age} version of Primer: its format is {number or 1}"
    ) as caught:
        reading.read_checkpoint(changed(saved, tmp_path, edit))
    assert "\n" not in str(caught.value)
