"""Writes a model card (Mitchell et al. 2019) from what a run has recorded."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from primer.records.baselines import baseline_names, baselines_of
from primer.records.run_folder import read_json

HIDDEN = ("hydra", "paths", "callbacks", "logger")
"""Groups of settings that a card leaves out."""


def model_card(folder: Path, content: dict[str, Any], description: dict[str, Any]) -> str:
    """Returns the text of ``model_card.md``.

    Args:
        folder: the run folder; files that are not there are left out.
        content: the checkpoint.
        description: the description of the exported file.
    """
    config = content["primer"]["config"]
    data = str(config.get("data", {}).get("_target_", "unknown data")).split(".")[-1]
    environment, metrics, report = (read_json(folder / f"{name}.json") for name in ("environment", "metrics", "report"))
    lines = [f"# {description['model']} on {data}", ""]
    lines += [f"{description['parameters']:,} parameters, trained with Primer. File: `{description['file']}`.", ""]
    lines += ["## Inputs and output", ""]
    for one in [*description.get("inputs", []), *([description["output"]] if "output" in description else [])]:
        lines.append(f"- `{one['name']}` {shape(one['shape'])}: {one['values']}{named(one)}")
    if description["format"] == "safetensors":
        lines.append("- The weights by name. `python train.py weights=FILE` starts from them.")
    lines += ["", "## Results", "", *results(metrics or content["primer"]["metrics"])]
    if report.get("baseline"):
        lines += ["", f"The baseline is {report['baseline']}."]
    if report.get("classes"):
        lines += ["", "| class | precision | recall | F1 | test samples |", "| --- | --- | --- | --- | --- |"]
        for row in report["classes"]:
            cells = (
                escape(row["class"]),
                *(f"{row[name]:.3f}" for name in ("precision", "recall", "f1")),
                row["count"],
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "## Training", ""]
    if environment.get("command"):
        lines += [f"`python {shlex.join(environment['command'])}`", ""]
    if environment.get("git_commit"):
        lines += [f"Commit `{environment['git_commit']}`.", ""]
    settings = {key: value for key, value in config.items() if key not in HIDDEN}
    lines += ["```yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip(), "```", ""]
    lines += ["## Limits", ""]
    lines += [f"The figures are of the test part of {data}, with one seed. Other data may give other results.", ""]
    return "\n".join(lines)


def results(metrics: dict[str, Any]) -> list[str]:
    """Returns a table of the metrics of the test, or of the validation if there was no test."""
    names = [name for name in metrics if name.startswith("test/")] or [name for name in metrics if "val/" in name]
    baselines = baseline_names(metrics)
    lines = [f"| {' | '.join(['metric', 'value', *baselines])} |", "| --- " * (2 + len(baselines)) + "|"]
    for name in names:
        others = baselines_of(name, metrics)
        cells = [f"{metrics[name]:.5g}", *(f"{others[other]:.5g}" if other in others else "" for other in baselines)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines if names else ["No metrics were recorded."]


def shape(sizes: list[Any]) -> str:
    return f"`({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})`"


def named(entry: dict[str, Any]) -> str:
    """Returns the names of the entries, if there are few."""
    names = entry.get("labels") or entry.get("names") or []
    return f": {', '.join(map(escape, names))}" if 0 < len(names) <= 20 else ""


def escape(text: Any) -> str:
    """Escapes a name for Markdown."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>|#" else character for character in str(text))
