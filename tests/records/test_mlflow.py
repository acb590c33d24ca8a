"""What MLflow records in its local folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import CommandResult
from helpers.run_folders import figures

from primer.callbacks import StopOnNaN
from primer.errors import InputError
from primer.records.mlflow import MLflow

client = pytest.importorskip("mlflow")

Run = Callable[..., CommandResult]

SMALL = ("data=iris", "trainer.max_epochs=2", "data.batch_size=64", "logger=mlflow", "callbacks.predictions=null")


def recorded_runs(folder: Path) -> list[Any]:
    """Returns the runs of the experiment in a local folder, in the order in which they were started."""
    store = client.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return store.search_runs(
        [store.get_experiment_by_name("primer").experiment_id], order_by=["attributes.start_time ASC"]
    )


def test_a_run_is_interrupted_and_continued(run_in_process: Run, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    original, calls = StopOnNaN.on_before_backward, iter(range(1, 10**6))

    def send(*args: Any, **kwargs: Any) -> None:
        if next(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        original(*args, **kwargs)

    monkeypatch.setattr(StopOnNaN, "on_before_backward", send)
    interrupted = run_in_process("train.py", *SMALL, "+logger.mlflow.tags.course=dl")
    monkeypatch.undo()
    assert interrupted.status == 143, interrupted.err
    store = tmp_path / "logs/mlflow"
    (run,) = recorded_runs(store)
    assert run.info.status == "FAILED"
    assert run.data.tags["course"] == "dl"

    found = re.search(r"python train\.py (resume=.*)", interrupted.err)
    assert found
    resumed = run_in_process("train.py", *shlex.split(found[1]), logs=False)
    assert resumed.status == 0, resumed.err
    (run,) = recorded_runs(store)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer/lr"] == "0.001"
    assert run.data.metrics["test/loss"] == pytest.approx(figures(resumed.folder)["test/loss"], rel=1e-5)
    history = client.MlflowClient(f"sqlite:///{store}/mlflow.db").get_metric_history(run.info.run_id, "val/loss")
    assert len(history) == 2
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    for file in ("report.html", "pictures/curves.png"):
        assert (artifacts / file).read_bytes() == (resumed.folder / file).read_bytes()


def test_a_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"MLflow: API request .* failed"):
        MLflow(str(tmp_path / "run"), str(tmp_path / "store"), uri="http://127.0.0.1:9")
    assert not list(tmp_path.iterdir())
