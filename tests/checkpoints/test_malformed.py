"""Checkpoints with a missing or wrong entry: each way to read them reports one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoint_readers import READERS, changed, read

from primer.checkpoints.spec_schema import check_spec
from primer.errors import InputError
from primer.spec import Classes, Context, Series, Spec, Tokens, Waveform

MISSING = object()
NAN, INFINITY = float("nan"), float("inf")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def shared(depth: int) -> list[Any]:
    """Returns lists of which each contains the next one ten times."""
    value: list[Any] = [0] * 10
    for _ in range(depth):
        value = [value] * 10
    return value


MODEL: list[tuple[str, Any]] = [
    ("primer", MISSING),
    ("primer|model", "primer.models.feedforward.mlp.MLP"),
    ("primer|model|_target_", MISSING),
    ("primer|model|_target_", "primer.models.feedforward.mlp.Nothing"),
    ("primer|objective|_target_", MISSING),
    ("primer|spec", {}),
    ("primer|spec|input", MISSING),
    ("primer|spec|input|type", "Evil"),
    ("primer|spec|input|type", "Classes"),
    ("primer|spec|input|channels", MISSING),
    ("primer|spec|input|channels", -1),
    ("primer|spec|input|height", 10**12),
    ("primer|spec|input|height", 2**30),
    ("primer|spec|input|evil", 1),
    ("primer|spec|input|mean", [NAN]),
    ("primer|spec|input|mean", [0.1, 0.2]),
    ("primer|spec|input|std", [-1.0]),
    ("primer|spec|target|names", []),
    ("primer|spec|target|names", "0123456789"),
    ("primer|spec|target|counts", [1, 2]),
    ("primer|spec|target|positive", 10),
    ("primer|config", [1]),
    ("primer|config|seed", "evil"),
    ("primer|config|seed", 2**40),
    ("primer|config|data", MISSING),
    ("primer|config|data", None),
    ("primer|config|data|_target_", MISSING),
    ("primer|config|data|x", nested(50)),
    ("primer|config|data|x", shared(20)),
    ("primer|config|regularization", [1]),
    ("primer|config", {1: 2}),
    ("primer|format", "2"),
    ("primer|format", 10**5000),
    ("epoch", MISSING),
    ("global_step", 2**70),
    ("state_dict", MISSING),
    ("state_dict", {}),
    ("state_dict|hidden.0.bias", MISSING),
    ("state_dict|hidden.0.bias", "evil"),
    ("state_dict|hidden.0.bias", torch.zeros(3)),
    ("state_dict|hidden.0.bias", torch.full((4,), NAN)),
    ("state_dict|hidden.0.bias", torch.full((4,), -INFINITY)),
    ("state_dict|hidden.0.bias", torch.zeros(4).to_sparse()),
    ("state_dict|hidden.0.bias", torch.empty(4, device="meta")),
    ("state_dict|hidden.0.bias", torch.zeros(1).expand(10**12)),
    ("state_dict|evil", torch.zeros(1)),
]
"""Entries that every reader needs. ``|`` separates the keys of a path."""

SETTINGS: list[tuple[str, Any]] = [
    ("primer|model|unknown", 1),
    ("primer|model|hidden_sizes", MISSING),
    ("primer|model|hidden_sizes", [5]),
    ("primer|model|hidden_sizes", 4),
    ("primer|model|hidden_sizes", [-4]),
    ("primer|model|hidden_sizes", [10**9, 10**9]),
    ("primer|model|hidden_sizes", [10**400]),
    ("primer|model|activation", "evil"),
    ("primer|model|dropout", 7.0),
    ("primer|model|dropout", NAN),
    ("primer|objective|label_smoothing", "evil"),
    ("primer|objective|_target_", "primer.objectives.regression.MSE"),
    ("primer|spec|target|names", ["a"] * 11),
]
"""Entries that are needed to build the model. Resuming and starting from weights build it from their own config."""

FIT = "loops|fit_loop"
RESUME = "callbacks|Resume"
STATE = "optimizer_states|0|state"
BEST = "callbacks|Checkpoint*best"

TRAINING: list[tuple[str, Any]] = [
    ("pytorch-lightning_version", "evil"),
    ("pytorch-lightning_version", "0.7.1"),
    ("loops", MISSING),
    (FIT, "evil"),
    (f"{FIT}|epoch_progress", MISSING),
    (f"{FIT}|epoch_progress|total|ready", -3),
    (f"{FIT}|epoch_loop.batch_progress|is_last_batch", "yes"),
    (f"{FIT}|epoch_loop.batch_progress|total", []),
    (f"{FIT}|state_dict|combined_loader", ["evil"]),
    (f"{FIT}|evil", 1),
    ("callbacks", MISSING),
    (RESUME, MISSING),
    (f"{RESUME}|random_state", MISSING),
    (f"{RESUME}|random_state|torch", torch.zeros(5056, dtype=torch.uint8)),
    (f"{RESUME}|random_state|python", [3, [1, 2], None]),
    (f"{RESUME}|random_state|numpy|0", "evil"),
    (f"{RESUME}|random_state|numpy|2", 10**6),
    (f"{RESUME}|train_sums", []),
    (f"{RESUME}|logged_sums", {"a": 1}),
    (BEST, "evil"),
    (f"{BEST}|best_k_models", {"a.ckpt": "evil"}),
    (f"{BEST}|kth_value", "evil"),
    ("callbacks|EarlyStopping*", {}),
    ("callbacks|EMA", "evil"),
    ("current_model_state|head.bias", torch.zeros(3)),
    ("averaging_state", "evil"),
    ("optimizer_states", MISSING),
    ("optimizer_states", [{}]),
    ("optimizer_states|0|param_groups|0|lr", MISSING),
    ("optimizer_states|0|param_groups|0|lr", NAN),
    ("optimizer_states|0|param_groups|0|params", [0]),
    (f"{STATE}|99", {}),
    (f"{STATE}|0", [1]),
    (f"{STATE}|0|exp_avg", torch.zeros(5)),
    (f"{STATE}|0|exp_avg", MISSING),
    (f"{STATE}|0|exp_avg", None),
    (f"{STATE}|0|exp_avg_sq", torch.full((4, 64), NAN)),
    ("lr_schedulers", MISSING),
    ("lr_schedulers", [{"evil": 1}]),
    ("lr_schedulers|0|step", 1),
]
"""Entries that only resuming needs."""


def edit(content: Any, path: str, value: Any) -> None:
    """Sets or deletes the entry at a path. ``*`` in a key stands for any text."""
    *parents, last = path.split("|")
    for key in parents:
        content = content[key_of(content, key)]
    key = key_of(content, last)
    if value is MISSING:
        del content[key]
    else:
        content[key] = value


def key_of(content: Any, key: str) -> Any:
    if isinstance(content, list) or key.isdigit():
        return int(key)
    start, star, end = key.partition("*")
    matches = [name for name in content if name.startswith(start) and name.endswith(end)]
    return matches[0] if star else key


def ids(entries: list[tuple[str, Any]]) -> list[str]:
    return [f"{index}-{path}" for index, (path, _) in enumerate(entries)]


def test_the_unchanged_checkpoint_is_read(checkpoint: Path, tmp_path: Path) -> None:
    file = changed(checkpoint, tmp_path / "same.ckpt", lambda content: None)
    assert [read(reader, file, tmp_path / reader) for reader in READERS] == [None] * 4


@pytest.mark.parametrize(("path", "value"), MODEL, ids=ids(MODEL))
def test_each_reader_rejects_a_malformed_model(path: str, value: Any, checkpoint: Path, tmp_path: Path) -> None:
    file = changed(checkpoint, tmp_path / "malformed.ckpt", lambda content: edit(content, path, value))
    for reader in READERS:
        assert read(reader, file, tmp_path / reader) is not None, reader


@pytest.mark.parametrize(("path", "value"), SETTINGS, ids=ids(SETTINGS))
def test_loading_rejects_settings_that_do_not_fit(path: str, value: Any, checkpoint: Path, tmp_path: Path) -> None:
    file = changed(checkpoint, tmp_path / "malformed.ckpt", lambda content: edit(content, path, value))
    assert [read(reader, file, tmp_path / reader) is not None for reader in ("load", "evaluate")] == [True, True]
    for reader in ("resume", "weights"):
        read(reader, file, tmp_path / reader)


@pytest.mark.parametrize(("path", "value"), TRAINING, ids=ids(TRAINING))
def test_resuming_rejects_a_malformed_state_of_the_training(
    path: str, value: Any, checkpoint: Path, tmp_path: Path
) -> None:
    file = changed(checkpoint, tmp_path / "malformed.ckpt", lambda content: edit(content, path, value))
    message = read("resume", file, tmp_path / "resume")
    assert message is not None
    assert str(file) in message
    for reader in ("load", "evaluate", "weights"):  # They do not need it.
        assert read(reader, file, tmp_path / reader) is None, reader


def test_occurrences_that_do_not_fit_the_vocabulary_are_refused() -> None:
    spec = Spec(Tokens(("<pad>", "<unk>", "a")), Context((0, 0, 3))).to_dict()
    check_spec(spec)
    spec["target"]["occurrences"] = [0, 3]
    with pytest.raises(InputError, match="occurrences must have 3 entries, not 2"):
        check_spec(spec)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("window", 2**30, "spec.input.recording.window must be from 1 to 65536"),
        ("window", 0, "spec.input.recording.window must be from 1 to 65536"),
        ("hop", -1, "spec.input.recording.hop must be from 1"),
        ("hop", "80", "spec.input.recording.hop must be an integer"),
        ("mels", 21, "spec.input.recording has 21 features, unlike its inputs"),
        ("features", "raw", "spec.input.recording does not describe features that can be computed"),
        ("mean", [0.0], "spec.input.recording.mean must have 20 entries, not 1"),
        ("std", [NAN] * 20, "spec.input.recording.std must be finite"),
        ("evil", 1, "spec.input.recording has an unknown entry 'evil'"),
        ("longest", MISSING, "spec.input.recording does not have longest"),
    ],
)
def test_recordings_that_features_cannot_be_computed_of(entry: str, value: Any, message: str) -> None:
    plain = Spec(Series(20, recording=Waveform(8000, 256, 80, 20, 80000)), Classes(("a", "b"))).to_dict()
    check_spec(plain)
    recording = plain["input"]["recording"]
    recording[entry] = value
    if value is MISSING:
        del recording[entry]
    with pytest.raises(InputError, match=re.escape(message)):
        check_spec(plain)
