"""Sends a run to MLflow, by default to a database in a local folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger

from primer.errors import InputError
from primer.records.console import is_main_process
from primer.records.tracking import save_id, saved_id, sweep_name

SWEEP_TAG = "sweep"
"""The tag that groups the jobs of a sweep."""


class MLflow(MLFlowLogger):
    """Logs to MLflow: the resolved config, the metrics, and the pictures, tables and report as artifacts.

    The run folder keeps the id of the MLflow run, so that a resumed run continues it. A run that fails or is
    interrupted ends as failed.

    Args:
        folder: the run folder.
        store: the folder of the database and the artifacts, which many runs share.
        uri: the tracking server to use instead of ``store``.
        experiment: the name of the experiment that the run belongs to.
        name: the name of the run; MLflow invents one by default.
        tags: tags of the run. The jobs of a sweep also have the tag ``sweep``.
        config: the resolved config.

    Raises:
        InputError: if MLflow is not installed, or cannot reach the server or the store.
    """

    def __init__(
        self,
        folder: str,
        store: str,
        uri: str | None = None,
        experiment: str = "primer",
        name: str | None = None,
        tags: dict[str, str] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            import sqlalchemy  # noqa: F401  # Of the local store, and no dependency of mlflow-skinny.
            from mlflow.exceptions import MlflowException
        except ImportError:
            raise InputError(
                "logger=mlflow needs the packages mlflow-skinny and sqlalchemy: install primer[mlflow]"
            ) from None
        for library in ("mlflow", "alembic"):
            logging.getLogger(library).setLevel(logging.WARNING)
        self.folder = Path(folder)
        local = Path(store).expanduser().absolute()
        if not uri:
            local.mkdir(parents=True, exist_ok=True)
        group = {SWEEP_TAG: sweep} if (sweep := sweep_name()) else {}
        try:
            super().__init__(
                experiment_name=experiment,
                run_name=name,
                tracking_uri=uri or f"sqlite:///{local}/mlflow.db",
                tags=group | (tags or {}),
                artifact_location=None if uri else (local / "artifacts" / experiment).as_uri(),
                run_id=saved_id(self.folder, "mlflow"),
            )
            if not is_main_process():
                return
            try:
                _ = self.experiment
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # Another job has just created the experiment.
                    raise
            client, run_id = self.experiment, str(self.run_id)
            client.update_run(run_id, status="RUNNING")
            if saved_id(self.folder, "mlflow") is None:  # MLflow does not allow settings to change.
                self.log_hyperparams(config or {})
        except MlflowException as error:
            raise InputError(f"MLflow: {' '.join(str(error).split())}") from error
        self.folder.mkdir(parents=True, exist_ok=True)
        save_id(self.folder, "mlflow", run_id)

    def log_picture(self, key: str, file: Path) -> None:
        """Sends a PNG file."""
        self.experiment.log_artifact(str(self.run_id), str(file), str(Path(key).parent))

    def log_results(self) -> None:
        """Sends the report of a complete run, and the data of its tables."""
        for name in ("report.html", "report.json"):
            if (file := self.folder / name).is_file():
                self.experiment.log_artifact(str(self.run_id), str(file))

    def finalize(self, status: str = "success") -> None:
        """Does nothing: training ends before the test, whose metrics belong to the run."""

    def end(self, failed: bool) -> None:
        """Ends the MLflow run."""
        if is_main_process():
            self.experiment.set_terminated(str(self.run_id), "FAILED" if failed else "FINISHED")
