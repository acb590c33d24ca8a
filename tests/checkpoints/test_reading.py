"""Models from their files alone, and files that are refused."""

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
    "primer.run.training.os.system",
    "torch.hub.load",
    "builtins.eval",
    "primer.records.run_folder.write",
]


class Small(MLP):
    """A model that hands its base what it was not given itself."""

    def __init__(self, spec: Spec, width: int = 4, objective: Objective | None = None) -> None:
        super().__init__(spec, hidden_sizes=(width, width), normalization="batch", objective=objective)


Saved = tuple[Path, Model, Digits]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A trained model and its run folder."""
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
    """A copy of the checkpoint in which something was changed."""
    content = torch.load(saved[0] / "checkpoints" / "best.ckpt", weights_only=True)
    change(content)
    torch.save(content, path / "changed.ckpt")
    return path / "changed.ckpt"


def test_it_loads_without_running_code(saved: Saved) -> None:
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
    }
    assert Spec.from_dict(content["primer"]["spec"]) == saved[2].spec
    assert content["primer"]["config"]["data"] == DATA


@pytest.mark.parametrize("what", [".", "checkpoints/best.ckpt"])
def test_the_model_is_the_same(saved: Saved, what: str) -> None:
    folder, model, data = saved
    loaded = primer.load(folder / what)
    assert type(loaded) is MLP
    assert not loaded.training
    assert loaded.spec == model.spec
    assert isinstance(loaded.objective, CrossEntropy)
    assert loaded.objective.label_smoothing == 0.1
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(loaded.forward_batch(batch), model.forward_batch(batch))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}


def test_a_model_on_top_of_another_one_is_built_from_its_own_arguments(
    saved: Saved, tmp_path: Path, quiet_trainer: Callable[..., L.Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("primer.models.feedforward.mlp.Small", Small, raising=False)
    monkeypatch.setattr(Small, "__module__", "primer.models.feedforward.mlp")
    data = saved[2]
    model = Small(data.spec, 5)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "small.ckpt")
    assert reading.read(tmp_path / "small.ckpt")["primer"]["model"] == {
        "_target_": "primer.models.feedforward.mlp.Small",
        "width": 5,
    }
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(primer.load(tmp_path / "small.ckpt").forward_batch(batch), model.eval().forward_batch(batch))


# Files that are refused.


def test_the_file_of_a_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run folder or checkpoint .*nowhere"):
        reading.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"there is no checkpoint in .*checkpoints"):
        reading.find(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert reading.find(tmp_path).name == "last.ckpt"
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    assert reading.find(str(tmp_path)).name == "best.ckpt"
    assert reading.find(tmp_path, ("last", "best")).name == "last.ckpt"
    assert reading.find(tmp_path / "checkpoints" / "last.ckpt").name == "last.ckpt"


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
def test_what_is_no_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "some.ckpt"
    write(kind, path)
    with pytest.raises(InputError, match=r"is (no|not a) checkpoint") as caught:
        primer.load(path)
    assert "some.ckpt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target", [*EVIL, "torch.nn.Linear", "primer.models.feedforward.mlp", "primer.models.feedforward.mlp.None", 3, None]
)
@pytest.mark.parametrize("part", ["model", "objective"])
def test_a_class_of_another_kind_is_refused(saved: Saved, tmp_path: Path, part: str, target: Any) -> None:
    path = changed(saved, tmp_path, lambda content: content["primer"][part].update(_target_=target))
    with pytest.raises(InputError):
        primer.load(path)


def test_other_weights_than_the_model_has_are_refused(saved: Saved, tmp_path: Path) -> None:
    path = changed(saved, tmp_path, lambda content: content["primer"]["model"].update(hidden_sizes=[9]))
    with pytest.raises(InputError, match="does not fit"):
        primer.load(path)


@pytest.mark.parametrize(
    ("there", "here", "wanted"),
    [
        (Tokens(("", "?", "a")), Tokens(("", "?", "a", "b")), ["input vocabulary: 3 entries there, 4 here"]),
        (Tokens(("", "?", "a")), Tokens(("", "?", "b")), ["input vocabulary: 'a' there, 'b' here"]),
        (Tokens(("",), ("x",)), Tokens(("",)), ["input characters: 1 entries there, 0 here"]),
        (Vector(2, ("a", "b"), (0.0, 1.0)), Vector(2, ("a", "b"), (0.0, 1.5)), ["input scale: 1.0 there, 1.5 here"]),
        (Vector(1, ("a",), (3.0000001,)), Vector(1, ("a",), (3.0,)), []),
        (Vector(1), Vector(2), ["input features: 1 there, 2 here"]),
        (Vector(1), Image(1, 2, 2), ["input: Vector there, Image here"]),
        (Image(1, 2, 2, (0.5,)), Image(1, 2, 2, (0.4,)), ["input scale: 0.5 there, 0.4 here"]),
        (Classes(("a", "b")), Classes(("a", "c")), ["target classes: 'b' there, 'c' here"]),
        (Values(("y",), (1.0,), (2.0,)), Values(("y",), (5.0,), (2.0,)), ["target scale: 1.0 there, 5.0 here"]),
        (Sequence(("a",)), Sequence(("a",), end=4), ["target end: 3 there, 4 here"]),
    ],
)
def test_what_two_descriptions_of_data_do_not_share(there: Any, here: Any, wanted: list[str]) -> None:
    side = "target" if isinstance(here, Classes | Values | Sequence) else "input"
    found = list(reading.differences(side, there, here))
    assert found == wanted
    assert not list(reading.differences(side, here, here))


def evaluated(path: Path, tmp_path: Path) -> dict[str, float]:
    config = compose_checked("evaluate", [f"ckpt={path}", "accelerator=cpu", f"paths.output_dir={tmp_path}/out"])
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return evaluate(config)


def test_evaluation_takes_all_from_the_checkpoint(saved: Saved, tmp_path: Path) -> None:
    folder, model, data = saved
    metrics = evaluated(folder, tmp_path)
    test = next(iter(data.test_dataloader()))
    assert test.targets is not None
    assert metrics["test/accuracy"] == pytest.approx((model.predict(test) == test.targets).float().mean().item())


@pytest.mark.parametrize("target", EVIL)
@pytest.mark.parametrize("depth", ["data", "within", "list"])
def test_evaluation_runs_nothing_that_a_checkpoint_names(saved: Saved, tmp_path: Path, target: str, depth: str) -> None:
    mark = tmp_path / "mark"
    evil = {
        "_target_": target, "command": f"touch {mark}", "path": mark, "text": "x", "repo_or_dir": str(tmp_path),
        "_args_": [f"touch {mark}"],
    }  # fmt: skip
    evil = {key: str(value) if isinstance(value, Path) else value for key, value in evil.items()}
    node = {"data": evil, "within": DATA | {"augmentation": evil}, "list": DATA | {"folds": [{"a": evil}]}}[depth]
    path = changed(saved, tmp_path, lambda content: content["primer"]["config"].update(data=node))
    with pytest.raises(InputError):
        evaluated(path, tmp_path)
    assert not mark.exists()


def test_evaluation_builds_no_class_of_a_library_within_the_data(saved: Saved, tmp_path: Path) -> None:
    node = DATA | {"augmentation": {"_target_": "torch.nn.Identity"}}
    path = changed(saved, tmp_path, lambda content: content["primer"]["config"].update(data=node))
    with pytest.raises(InputError, match=r"'torch.nn.Identity' in .* is refused: within the data it must be in primer"):
        evaluated(path, tmp_path)


# Targets.


def test_packages_are_told_by_their_whole_name() -> None:
    for name in PACKAGES:
        check_target(f"{name}.some.Thing")
        with pytest.raises(InputError, match="is refused"):
            check_target(f"{name}x.some.Thing")
    assert sorted(targets({"a": [{"_target_": "x"}, {"b": {"_target_": "y"}}], "_target_": "z"})) == ["x", "y", "z"]


def test_locate_gives_classes_of_a_kind() -> None:
    assert locate("primer.models.feedforward.mlp.MLP", Model) is MLP
    for target in ("primer.data.images.digits.Digits", "primer.objectives.auto", "primer.nowhere.Thing"):
        with pytest.raises(InputError):
            locate(target, Model)


def test_instantiate_looks_at_the_kind_before_it_calls(tmp_path: Path) -> None:
    assert isinstance(instantiate(DATA, DataModule), Digits)
    made = instantiate({"_target_": "primer.records.loggers.tensorboard", "folder": str(tmp_path)}, Logger)
    assert isinstance(made, Logger)
    mark = tmp_path / "mark"
    with pytest.raises(
        InputError, match=r"primer.records.run_folder.write is not a DataModule, nor does it return one"
    ):
        instantiate({"_target_": "primer.records.run_folder.write", "path": mark, "text": ""}, DataModule)
    with pytest.raises(InputError, match=r"'primer.run.training.os.system' is refused: it is of posix"):
        instantiate({"_target_": "primer.run.training.os.system", "command": f"touch {mark}"})
    with pytest.raises(InputError, match="within another one only a class may stand"):
        instantiate({**DATA, "augmentation": {"_target_": "primer.records.run_folder.write", "path": mark, "text": ""}})
    assert not mark.exists()


def test_a_refusal_of_a_class_reaches_the_user_as_it_is() -> None:
    with pytest.raises(InputError, match=r"^batch_size must be at least 1"):
        instantiate(DATA | {"batch_size": 0}, DataModule)


@pytest.mark.parametrize(("number", "age"), [(1, "an older"), (None, "an older"), (99, "a newer")])
def test_a_checkpoint_of_another_format_is_refused_in_one_line(
    number: int | None, age: str, saved: Any, tmp_path: Path
) -> None:
    def edit(content: dict[str, Any]) -> None:
        del content["primer"]["format"]
        content["primer"] |= {} if number is None else {"format": number}

    with pytest.raises(
        InputError, match=rf"was written by {age} version of Primer: its format is {number or 1}"
    ) as caught:
        reading.read(changed(saved, tmp_path, edit))
    assert "\n" not in str(caught.value)
