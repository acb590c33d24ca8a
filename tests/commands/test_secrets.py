"""Nothing that a run writes contains a secret of the environment."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
import yaml

from primer.config.secrets import redact, unresolve
from primer.data.tables.tables import Iris

SECRETS = {"MY_API_KEY": "sk-0123456789", "DB_PASSWORD": "hunter2!", "PLACE": "-".join(["some", "where"])}
TINY = ("data=iris", "trainer.max_epochs=1", "test=false", "~callbacks.pictures", "logger=tensorboard")


def leaks(folder: Path, names: Iterable[str] = ("MY_API_KEY", "DB_PASSWORD")) -> set[str]:
    """Returns the kinds of files that contain a secret. Checkpoints are not compressed."""
    secrets = [SECRETS[name].encode() for name in names]
    files = [file for file in folder.rglob("*") if file.is_file()]
    found = [file for file in files if any(secret in file.read_bytes() for secret in secrets)]
    return {"tensorboard" if ".tfevents." in file.name else file.suffix or file.name for file in found}


def test_a_run_writes_no_secret_and_is_resumed(run_in_process, tmp_path, monkeypatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    read = Iris.read

    def warn(self):
        logging.getLogger("library").warning("connecting with %s", SECRETS["MY_API_KEY"])
        return read(self)

    monkeypatch.setattr(Iris, "read", warn)
    result = run_in_process("train.py", *TINY, f"monitor={SECRETS['MY_API_KEY']}")
    assert result.status == 2
    assert "monitor=<secret MY_API_KEY>: this run does not log that metric" in result.err

    named = "callbacks.samples.prompt='${oc.env:MY_API_KEY} at ${oc.env:PLACE}'"
    literal = f"data.data_dir='{SECRETS['DB_PASSWORD']}'"
    result = run_in_process("train.py", *TINY, named, literal, f"hydra.run.dir={tmp_path}/run")
    assert result.status == 0, result.err
    run = tmp_path / "run"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["callbacks"]["samples"]["prompt"] == "${oc.env:MY_API_KEY} at ${oc.env:PLACE}"
    assert config["data"]["data_dir"] == "${oc.env:DB_PASSWORD}"
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["primer"]["config"]
    assert saved["data"]["data_dir"] == "<secret DB_PASSWORD>"
    assert "connecting with <secret MY_API_KEY>" in (run / "train.log").read_text()
    assert not leaks(run)
    # Checkpoints and TensorBoard have the resolved value of PLACE, which is not a secret by its name.
    assert {".ckpt"} <= leaks(run, ["PLACE"]) <= {".ckpt", "tensorboard"}

    copied = shutil.copy(run / "checkpoints/last.ckpt", tmp_path / "copied.ckpt")
    result = run_in_process("train.py", f"resume={copied}", "trainer.max_epochs=2")
    assert result.status == 2
    assert "does not contain the secret" in result.err
    result = run_in_process("train.py", f"resume={run}", "trainer.max_epochs=2", logs=False)
    assert result.status == 0, result.err
    assert yaml.safe_load((run / "config.yaml").read_text())["callbacks"] == config["callbacks"]


def test_only_secrets_are_redacted(monkeypatch) -> None:
    for name, value in {
        "TOKENIZERS_PARALLELISM": "parallel",
        "A_KEY": "short",
        "B_TOKEN": "abcdef",
        "HERE": "x",
    }.items():
        monkeypatch.setenv(name, value)
    assert redact("parallel short abcdef") == "parallel short <secret B_TOKEN>"
    config = {"a": ["abcdefg", 3], "b": "parallel", "c": "${d}"}
    raw = "b: ${oc.env:TOKENIZERS_PARALLELISM}"
    resolvable = {"a": ["${oc.env:B_TOKEN}g", 3], "b": "${oc.env:TOKENIZERS_PARALLELISM}", "c": "\\${d}"}
    assert unresolve(config, raw) == resolvable
