"""Signatures read from source code agree with the imported classes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from primer.cli.choices import groups, targets_of
from primer.cli.signatures import Annotation, Module, mismatch, read_signature, type_names


def annotation(target: str, name: str) -> Annotation | None:
    signature = read_signature(target)
    assert signature is not None
    return signature.parameters[name]


def test_a_model_and_its_base_class() -> None:
    mlp = read_signature("primer.models.feedforward.mlp.MLP")
    assert mlp is not None
    assert list(mlp.parameters) == [
        "spec", "hidden_sizes", "activation", "normalization", "initialization", "dropout", "objective",
    ]  # fmt: skip
    assert "multilayer perceptron" in mlp.doc
    assert not mlp.accepts_kwargs
    assert type_names(mlp.attributes["inputs"]) == ["Vector", "Image"]
    assert type_names(mlp.attributes["targets"]) == ["Classes", "Values"]


def test_a_data_set_without_a_constructor_accepts_the_arguments_of_its_base_class() -> None:
    digits = read_signature("primer.data.images.digits.Digits")
    assert digits is not None
    assert {"batch_size", "val_fraction", "folds", "augmentation"} <= set(digits.parameters)
    assert not digits.accepts_kwargs


def test_reexported_names_are_followed() -> None:
    direct, exported = read_signature("primer.optim.schedules.Schedule"), read_signature("primer.optim.Schedule")
    assert direct is not None
    assert exported is not None
    assert list(direct.parameters) == list(exported.parameters) == ["scheduler", "interval", "monitor", "warmup"]


def test_a_dataclass_and_a_function() -> None:
    stopping, auto = read_signature("primer.regularization.EarlyStopping"), read_signature("primer.objectives.auto")
    assert stopping is not None
    assert list(stopping.parameters) == ["patience", "min_delta"]
    assert auto is not None
    assert list(auto.parameters) == ["target", "label_smoothing", "class_weights", "threshold"]


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
def test_a_target_that_does_not_exist_has_no_signature(target: str) -> None:
    assert read_signature(target) is None


def targets() -> list[str]:
    known = ((group, choice) for group, choices in groups().items() for choice in choices)
    configured = {target for group, choice in known if group != "hydra" for target in targets_of(group, choice)}
    return sorted(configured | {"lightning.Trainer", "torch.optim.AdamW"})


@pytest.mark.parametrize("target", targets())
def test_the_signature_in_the_source_equals_that_of_the_imported_class(target: str) -> None:
    import hydra

    imported = hydra.utils.get_object(target)
    signature = read_signature(target)
    assert signature is not None, f"a misspelled setting of {target} would not be detected"
    function = imported.__init__ if isinstance(imported, type) else imported
    if function is object.__init__:
        assert not signature.parameters
        return
    parameters = {name: one for name, one in inspect.signature(function).parameters.items() if name != "self"}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        named = {name for name, one in parameters.items() if one.kind is not inspect.Parameter.VAR_KEYWORD}
        assert named <= set(signature.parameters)
    else:
        assert set(signature.parameters) == set(parameters)
        assert not signature.accepts_kwargs


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
    ("primer.data.base.DataModule", "data_dir", 5, "a string or a path"),
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


@pytest.mark.parametrize(("target", "name", "value", "expected"), CASES)
def test_a_value_is_checked_against_its_annotation(target: str, name: str, value: Any, expected: str | None) -> None:
    description = mismatch(value, annotation(target, name))
    if expected is None:
        assert description is None
    else:
        assert description is not None
        assert description.startswith(expected)


@pytest.mark.parametrize("text", ["Callable[..., int]", "Unknown", "torch.Tensor", "type[int]"])
def test_any_value_matches_an_unknown_type(text: str) -> None:
    module = Module(path=Path(__file__), package="tests", tree=ast.parse(""))
    assert mismatch("anything", Annotation(ast.parse(text, mode="eval").body, module)) is None


def test_torch_is_not_imported() -> None:
    script = (
        "import sys\n"
        "from primer.cli.signatures import read_signature\n"
        "from primer.cli.choices import is_compatible\n"
        "assert read_signature('torch.optim.AdamW') and read_signature('lightning.Trainer')\n"
        "assert read_signature('torch.optim.lr_scheduler.CosineAnnealingLR')\n"
        "assert is_compatible('primer.models.feedforward.mlp.MLP', 'primer.data.images.digits.Digits')\n"
        "print(sorted({'torch', 'lightning', 'numpy'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_a_value_of_a_simple_type_resolves_no_other_types(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, strategy = annotation("torch.optim.AdamW", "lr"), annotation("lightning.Trainer", "strategy")
    resolved: list[str] = []
    monkeypatch.setattr("primer.cli.signatures._resolve_alias", lambda name, module: resolved.append(name))
    assert mismatch(0.1, rate) is mismatch("auto", strategy) is None
    assert resolved == []
    assert mismatch("fast", rate) == "a number"
    assert resolved == ["Tensor", "Tensor"]
