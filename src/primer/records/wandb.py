"""Sends a run to Weights & Biases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger

from primer.errors import InputError
from primer.records.console import is_main_process
from primer.records.tracking import report_tables, save_id, saved_id, sweep_name


class WandB(WandbLogger):
    """Logs to Weights & Biases: the resolved config, the metrics, and the pictures, tables and report as media.

    The run folder keeps the id of the W&B run, so that a resumed run continues it. A run that fails or is interrupted
    ends as failed.

    Args:
        folder: the run folder.
        project, entity, name, tags, notes: identify the run in Weights & Biases.
        group: groups runs; by default the sweep, if the run is part of one.
        job_type: tells runs of a group apart.
        mode: ``auto`` is online if the user is logged in, and offline otherwise.
        checkpoints: whether to upload the best and the last checkpoint as an artifact at the end of the run.
        config: the resolved config.

    Raises:
        InputError: if wandb is not installed, the user is not logged in although ``mode`` is ``online``, or Weights &
            Biases rejects the run.
    """

    def __init__(
        self,
        folder: str,
        project: str = "primer",
        entity: str | None = None,
        group: str | None = None,
        job_type: str | None = "train",
        name: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        checkpoints: bool = False,
        config: dict[str, Any] | None = None,
    ) -> None:
        try:
            import wandb
            from wandb.errors import Error
        except ImportError:
            raise InputError("logger=wandb needs the package wandb: install primer[wandb]") from None
        self.folder, self.checkpoints = Path(folder), checkpoints
        if not is_main_process():
            super().__init__()  # Lightning logs from the main process only.
            return
        offline = not is_online(wandb, mode)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            run = wandb.init(
                project=project,
                entity=entity,
                group=group or sweep_name(),
                job_type=job_type,
                name=name,
                tags=tags or [],
                notes=notes,
                dir=folder,
                mode="offline" if offline else "online",
                config=config or {},
                settings=wandb.Settings(silent=offline),
                id=saved_id(self.folder, "wandb"),
                resume="allow",
                reinit="finish_previous",
            )
        except Error as error:
            reason = " ".join(str(error).split())
            raise InputError(f"Weights & Biases: {reason}; logger.wandb.mode=offline needs no connection") from error
        save_id(self.folder, "wandb", run.id)
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        super().__init__(experiment=run, log_model=False)

    def log_picture(self, key: str, file: Path) -> None:
        """Sends a PNG file."""
        self.log_image(key=key, images=[str(file)])

    def log_results(self) -> None:
        """Sends the tables of the report, the report itself and, on request, the checkpoints of a run."""
        import wandb

        for table in report_tables(self.folder):
            self.log_table(f"tables/{table.name}", columns=table.columns, data=table.rows)
        if (report := self.folder / "report.html").is_file():
            self.experiment.log({"report": wandb.Html(str(report), inject=False)})
        if self.checkpoints:
            artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model")
            for file in sorted((self.folder / "checkpoints").glob("*.ckpt")):
                artifact.add_file(str(file))
            self.experiment.log_artifact(artifact)

    def end(self, failed: bool) -> None:
        """Ends the W&B run, with exit code 1 if the run has failed."""
        self.experiment.finish(exit_code=int(failed))


def is_online(client: Any, mode: str) -> bool:
    """Whether a run is sent at once. Never asks for a login.

    Args:
        client: the module ``wandb``.
        mode: the setting, in which ``auto`` follows ``WANDB_MODE`` if that is set.

    Raises:
        InputError: if the run should be online but the user is not logged in.
    """
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "auto")
    if mode not in ("auto", "online"):
        return False
    try:
        logged_in = bool(client.login(prompt=False))
    except client.errors.Error:
        logged_in = False
    if mode == "online" and not logged_in:
        raise InputError(
            "Weights & Biases is online but you are not logged in: run wandb login, set WANDB_API_KEY, or set "
            "logger.wandb.mode=offline"
        )
    return logged_in
