"""Finds the metrics of the baselines among those of a run."""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "baseline/"


def baselines_of(name: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns a metric of each baseline, by what it is called: ``baseline``, or the name of a second one."""
    found = {}
    for key, value in metrics.items():
        if key == f"{PREFIX}{name}":
            found["baseline"] = value
        elif key.startswith(PREFIX) and key.endswith(f"/{name}"):
            found[key.removeprefix(PREFIX).removesuffix(f"/{name}").replace("_", " ")] = value
    return found


def baseline_names(metrics: Mapping[str, float]) -> list[str]:
    """Returns what the baselines of a test are called, in their order."""
    keys = [key.removeprefix(PREFIX).split("/") for key in metrics if key.startswith(PREFIX)]
    return list(dict.fromkeys("baseline" if key[0] == "test" else key[0].replace("_", " ") for key in keys))
