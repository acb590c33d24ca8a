"""What the sources say of a class, held against the classes themselves."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from primer.cli.choices import groups, targets_of
from primer.cli.signatures import Annotation, Module, describe, mismatch, names_in


def annotation(target: str, name: str) -> Annotation | None:
    description = describe(target)
    assert description is not None
    return description.parameters[name]


def test_a_model_and_its_base() -> None:
    mlp = describe("primer.models.feedforward.mlp.MLP")
    assert mlp is not None
    assert list(mlp.parameters) == [
        "spec", "hidden_sizes", "activation", "normalization", "initialization", "dropout", "objective",
    ]  # fmt: skip
    assert "multilayer perceptron" in mlp.doc
    assert not mlp.open
    assert names_in(mlp.attributes["inputs"]) == ["Vector", "Image"]
    assert names_in(mlp.attributes["targets"]) == ["Classes", "Values"]


def test_a_data_set_without_a_constructor_takes_what_its_base_takes() -> None:
    digits = describe("primer.data.images.digits.Digits")
    assert digits is not None
    assert {"batch_size", "val_fraction", "folds", "augmentation"} <= set(digits.parameters)
    assert not digits.open


def test_names_are_followed_through_packages() -> None:
    direct, exported = describe("primer.optim.schedules.Schedule"), describe("primer.optim.Schedule")
    assert direct is not None
    assert exported is not None
    assert list(direct.parameters) == list(exported.parameters) == ["scheduler", "interval", "monitor", "warmup"]


def test_a_dataclass_and_a_function() -> None:
    stopping, auto = describe("primer.regularization.EarlyStopping"), describe("primer.objectives.auto")
    assert stopping is not None
    assert list(stopping.parameters) == ["patience", "min_delta"]
    assert auto is not None
    assert list(auto.parameters) == ["target", "label_smoothing"]


@pytest.mark.parametrize(
    "target",
    [
        "nowhere.Thing",
        "primer.models.feedforward.mlp.Nothing",
        "primer.nowhere.Thing",
        "primer.models.feedforward.mlp",
        "sys.path",
    ],
)
def test_what_is_not_there_has_no_description(target: str) -> None:
    assert describe(target) is None


def targets() -> list[str]:
    known = ((group, choice) for group, choices in groups().items() for choice in choices)
    some = {target for group, choice in known if group != "hydra" for target in targets_of(group, choice)}
    return sorted(some | {"lightning.Trainer", "torch.optim.AdamW"})


@pytest.mark.parametrize("target", targets())
def test_the_source_says_what_the_class_itself_says(target: str) -> None:
    import hydra

    found = hydra.utils.get_object(target)
    described = describe(target)
    assert described is not None, f"a misspelt setting of {target} would not be seen"
    function = found.__init__ if isinstance(found, type) else found
    if function is object.__init__:
        assert not described.parameters
        return
    real = {name: one for name, one in inspect.signature(function).parameters.items() if name != "self"}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in real.values()):
        named = {name for name, one in real.items() if one.kind is not inspect.Parameter.VAR_KEYWORD}
        assert named <= set(described.parameters)
    else:
        assert set(described.parameters) == set(real)
        assert not described.open


INT, FLOAT, LIST = "an integer", "a number", "a list"
CASES: list[tuple[str, str, Any, str | None]] = [
    ("primer.data.base.DataModule", "split_seed", 3, None),
    ("primer.data.base.DataModule", "split_seed", 3.5, INT),
    ("primer.data.base.DataModule", "split_seed", True, INT),
    ("primer.data.base.DataModule", "batch_size", 32, None),
    ("primer.data.base.DataModule", "batch_size", "full", None),
    ("primer.data.base.DataModule", "batch_size", "fill", "an integer or one of full"),
    ("primer.data.base.DataModule", "folds", None, None),
    ("primer.data.base.DataModule", "folds", "five", "an integer or null"),
    ("primer.data.base.DataModule", "data_dir", 5, "a text or a path"),
    ("primer.models.feedforward.mlp.MLP", "dropout", 1, None),
    ("primer.models.feedforward.mlp.MLP", "dropout", "half", FLOAT),
    ("primer.models.feedforward.mlp.MLP", "dropout", False, FLOAT),
    ("primer.models.feedforward.mlp.MLP", "hidden_sizes", [3, 4], None),
    ("primer.models.feedforward.mlp.MLP", "hidden_sizes", [], None),
    ("primer.models.feedforward.mlp.MLP", "hidden_sizes", 64, LIST),
    ("primer.models.feedforward.mlp.MLP", "hidden_sizes", [64, "x"], "a list, each an integer"),
    ("primer.models.feedforward.mlp.MLP", "hidden_sizes", "64", LIST),
    ("primer.models.feedforward.mlp.MLP", "activation", "gelu", None),
    ("primer.models.feedforward.mlp.MLP", "normalization", "bath", "one of none, batch, layer, group"),
    ("torch.optim.Adam", "lr", 0.1, None),
    ("torch.optim.Adam", "lr", "fast", FLOAT),
    ("torch.optim.Adam", "amsgrad", "yes", "true or false"),
    ("torch.optim.Adam", "betas", 0.9, "a list"),
    ("torch.optim.Adam", "betas", ["a", "b"], "a list, each a number"),
    ("lightning.Trainer", "max_epochs", 5, None),
    ("lightning.Trainer", "max_epochs", None, None),
    ("lightning.Trainer", "max_epochs", "five", "an integer or null"),
    ("lightning.Trainer", "deterministic", "warn", None),
    ("primer.cli.settings.Train", "mode", "minimum", "one of min, max"),
    ("primer.cli.settings.Train", "seed", None, None),
]


@pytest.mark.parametrize(("target", "name", "value", "wanted"), CASES)
def test_a_value_is_held_against_its_annotation(target: str, name: str, value: Any, wanted: str | None) -> None:
    words = mismatch(value, annotation(target, name))
    if wanted is None:
        assert words is None
    else:
        assert words is not None
        assert words.startswith(wanted)


@pytest.mark.parametrize("text", ["Callable[..., int]", "Unheard", "torch.Tensor", "type[int]"])
def test_a_type_that_nobody_knows_fits_anything(text: str) -> None:
    here = Module(path=Path(__file__), package="tests", tree=ast.parse(""))
    assert mismatch("anything", Annotation(ast.parse(text, mode="eval").body, here)) is None


def test_torch_is_not_imported() -> None:
    script = (
        "import sys\n"
        "from primer.cli.signatures import describe\n"
        "from primer.cli.choices import is_compatible\n"
        "assert describe('torch.optim.AdamW') and describe('lightning.Trainer')\n"
        "assert describe('torch.optim.lr_scheduler.CosineAnnealingLR')\n"
        "assert is_compatible('primer.models.feedforward.mlp.MLP', 'primer.data.images.digits.Digits')\n"
        "print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_value_of_a_simple_type_needs_no_look_at_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, strategy = annotation("torch.optim.AdamW", "lr"), annotation("lightning.Trainer", "strategy")
    read: list[str] = []
    monkeypatch.setattr("primer.cli.signatures._alias", lambda name, module: read.append(name))
    assert mismatch(0.1, rate) is mismatch("auto", strategy) is None
    assert read == []
    assert mismatch("fast", rate) == "a number"
    assert read == ["Tensor", "Tensor"]
