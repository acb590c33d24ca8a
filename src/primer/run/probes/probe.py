"""Runs a probe of a config, and writes its run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning import Callback

from primer.data.source import DataSource
from primer.models.base import Model
from primer.records import run_folder
from primer.records.console import is_main_process, show_table
from primer.reports.html import write_html
from primer.reports.publish import log_failure
from primer.run.building import build_trainer
from primer.run.probes.batch_size import find_batch_size
from primer.run.probes.brief import Probe
from primer.run.probes.lr_find import find_lr
from primer.run.probes.summary import summarize
from primer.run.results import run_summary

PROBES: dict[str, Callable[[Probe], dict[str, float]]] = {
    "lr_find": find_lr, "batch_size": find_batch_size, "summary": summarize,
}  # fmt: skip


def run_probe(
    config: dict[str, Any],
    model: Model,
    datamodule: DataSource,
    callbacks: Sequence[Callback],
    write_provenance: Callable[[], None],
) -> dict[str, float]:
    """Runs the probe that ``config["probe"]`` names, and writes what it finds in the run folder. The weights of the
    model are those from before in the end.

    Args:
        config: resolved config of the run.
        model, datamodule: of the run.
        callbacks: those that decide which parameters are trained.
        write_provenance: writes the provenance files; called once the probe is known to apply.

    Returns:
        Its results, as in ``metrics.json``.

    Raises:
        InputError: if the probe does not apply to the model or the data.
    """
    trainer = build_trainer(config, model, [], [])
    probe = Probe(config, model, datamodule, trainer, callbacks)
    probe.check()
    if is_main_process():
        write_provenance()
    show_table("primer", run_summary(config, model, datamodule, trainer))
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        metrics = PROBES[config["probe"]](probe)
    finally:
        model.load_state_dict(weights)
    run_folder.write_metrics(probe.folder, metrics)
    if config["callbacks"].get("report") is not None:
        with log_failure(probe.folder, "report"):
            write_html(probe.folder)
    return metrics
