"""What a command takes from an earlier run, without importing torch."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from primer.cli.composition import compose_resolved
from primer.cli.earlier_runs import use_earlier_runs
from primer.config.fixed import override_value
from primer.errors import InputError


def record(folder: Path, *overrides: str) -> Path:
    """Writes the files that ``resume`` and ``weights`` read."""
    folder.mkdir()
    config = compose_resolved("train", list(overrides), "/where/it/was")
    (folder / "config.yaml").write_text(yaml.safe_dump({key: config[key] for key in config if key != "hydra"}))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    return folder


def composed(*overrides: str, multirun: bool = False) -> tuple[dict, list[str]]:
    """Returns the config of a command with an earlier run, and its overrides."""
    args = Namespace(overrides=list(overrides), config_name=None, multirun=multirun)
    use_earlier_runs("train", args)
    return compose_resolved(args.config_name or "train", args.overrides, "/now"), args.overrides


COMMAND = ("experiment=sunspots_lstm", "~callbacks.samples", "logger=none", "model.hidden_size=3")


def test_a_resumed_run_has_its_own_config_and_what_is_typed(tmp_path: Path) -> None:
    run = record(tmp_path / "run", *COMMAND)
    before = compose_resolved("train", list(COMMAND), "/now")
    for again in ((), COMMAND):
        config, overrides = composed(*again, f"resume={run}", "trainer.max_epochs=90")
        assert overrides == [*again[3:], f"resume={run}", "trainer.max_epochs=90"]
        assert config["trainer"]["max_epochs"] == 90
        config["trainer"]["max_epochs"], config["resume"] = 30, None
        assert config == before


def test_an_earlier_choice_is_not_mistaken_for_the_current_one(tmp_path: Path) -> None:
    run = record(tmp_path / "run", *COMMAND)
    history = [*COMMAND, f"resume={run}", "logger=csv"]
    (run / "overrides.yaml").write_text(yaml.safe_dump(history))
    config, _ = composed("logger=none", f"resume={run}")
    assert config["logger"] == {}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there is no checkpoint in"),
        ({"config.yaml": "- a"}, "is not the config of a training run"),
        ({"config.yaml": "run: logs\npaths: {}"}, "is not the config of a training run"),
        ({"config.yaml": "{"}, "config.yaml cannot be read: "),
        ({"config.yaml": b"\xff\xfe\x00"}, "config.yaml cannot be read: "),
        ({"overrides.yaml": "a: b"}, "overrides.yaml is not a list of overrides"),
        ({"overrides.yaml": "[1]"}, "overrides.yaml is not a list of overrides"),
    ],
    ids=str,
)
@pytest.mark.parametrize("use", ["resume", "weights"])
def test_damaged_records_are_rejected_in_one_line(tmp_path: Path, files: dict, message: str, use: str) -> None:
    run = tmp_path / "run"
    if "overrides.yaml" in files:
        record(run)
    run.mkdir(exist_ok=True)
    for name, text in files.items():
        (run / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        composed(f"{use}={run}")
    assert "\n" not in str(caught.value)


def test_weights_bring_the_model_but_not_its_regularization(tmp_path: Path) -> None:
    run = record(tmp_path / "run", "model=gru", "model.num_layers=2", "regularization.dropout=0.4", "model.pooling=max")
    config, overrides = composed(f"weights={run}", "model.pooling=mean", "regularization.dropout=0.1")
    assert overrides[:3] == ["model=gru", "model.num_layers=2", "model.pooling=max"]
    model = config["model"]
    assert (model["num_layers"], model["pooling"], model["dropout"]) == (2, "mean", 0.1)
    assert model["_target_"].endswith("GRU")
    assert composed(f"weights={run}", "model=mlp")[0]["model"]["_target_"].endswith("MLP")


def test_values_are_written_as_overrides() -> None:
    texts = ["relu", "a/b.c", "two words", "it's", "", "null", "a,b", "${x}", "3", "\\", "\\'", "x: y"]
    values = [None, True, 3, 0.5, 1e-8, float("inf"), *texts, [1, ["a"]], {"a": [None]}]
    config = compose_resolved("train", [f"+model.x={override_value(values)}"], "/now")
    assert config["model"]["x"] == values
