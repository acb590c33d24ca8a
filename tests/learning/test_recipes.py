"""The default run and recipes, as a user starts them, reach what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primer.training import train


def test_the_default_run(command: Callable[..., Any], tmp_path: Path, figure: Callable[[str], None]) -> None:
    metrics = train(command("train", "run"))
    figure(f"python train.py: test/accuracy {metrics['test/accuracy']:.4f}")
    assert metrics["test/accuracy"] >= 0.97
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test/accuracy"] == metrics["test/accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "files", "least"),
    [
        ("mnist_mlp", "MNIST", {"test/accuracy": 0.984}),
        ("mnist_lenet", "MNIST", {"test/accuracy": 0.9905}),
        ("reviews_lstm", "sentiment", {"test/accuracy": 0.75}),
    ],
)
def test_a_recipe(
    name: str,
    files: str,
    least: dict[str, float],
    command: Callable[..., Any],
    data_dir_or_skip: Callable[[str], Path],
    figure: Callable[[str], None],
) -> None:
    folder = data_dir_or_skip(files).parent
    metrics = train(command("train", "run", f"experiment={name}", f"paths.data_dir={folder}"))
    for metric, value in least.items():
        figure(f"python train.py experiment={name}: {metric} {metrics[metric]:.4f}")
        assert metrics[metric] >= value
