"""Evaluation runs: samples with a custom prompt, and checks that the data has not changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primer.cli.checks import check_command
from primer.errors import InputError
from primer.run.evaluation import evaluate
from primer.run.training import train

TEXT = "the cat sat on the mat, and the dog sat on the cat. " * 40


@pytest.fixture
def language_model_metrics(tmp_path: Path, command: Callable[..., Any]) -> dict[str, float]:
    """Trains a character language model in the run folder ``run``, and returns its test metrics."""
    (tmp_path / "text.txt").write_text(TEXT)
    settings = ["trainer.max_epochs=1", "callbacks.samples.length=0", "accelerator=cpu"]
    metrics = train(command("train", "run", "model=lstm", "data=text", f"data.path={tmp_path}/text.txt", *settings))
    return {name: value for name, value in metrics.items() if name.startswith(("test/", "baseline/"))}


def test_evaluation_samples_from_a_custom_prompt(
    language_model_metrics: dict[str, float], tmp_path: Path, command: Callable[..., Any]
) -> None:
    def sample(folder: str, *overrides: str) -> str | None:
        metrics = evaluate(command("evaluate", folder, f"run={tmp_path}/run", "accelerator=cpu", *overrides))
        assert metrics == language_model_metrics
        path = tmp_path / folder / "samples" / "sample.txt"
        return path.read_text() if path.exists() else None

    prompt = "samples.prompt='the dog '"
    first = sample("first", prompt, "samples.temperature=0.8", "samples.length=20")
    assert first is not None
    assert first.startswith("the dog ")
    assert len(first) == len("the dog ") + 20 + 1
    assert first == sample("again", prompt, "samples.temperature=0.8", "samples.length=20")
    assert first != sample("greedy", prompt, "samples.temperature=0.0", "samples.length=20")
    assert (sample("default") or "").startswith(TEXT[-len(TEXT) // 5 :][:50])
    assert sample("none", "samples=null") is None
    with pytest.raises(InputError, match=r"^samples\.prompt: the training part has no 'ж', 'X'$"):
        sample("bad", "samples.prompt='the жXж'")
    with pytest.raises(InputError, match=r"^samples\.top_k must be at least 1"):
        sample("bad", "samples.top_k=0")
    assert not (tmp_path / "bad").exists()


def test_a_part_that_the_data_does_not_have_is_rejected(tmp_path: Path, command: Callable[..., Any]) -> None:
    train(command("train", "run", "data=iris", "data.val_fraction=0", "trainer.max_epochs=1", "accelerator=cpu"))
    with pytest.raises(InputError, match="part=val: the data of this run does not have this part"):
        evaluate(command("evaluate", "other", f"run={tmp_path}/run", "part=val", "accelerator=cpu"))


def test_settings_of_samples_are_checked_before_the_run() -> None:
    check_command("evaluate", ["run=x", "samples.prompt=67 62", "samples.top_p=0.5"])
    with pytest.raises(InputError, match=r"samples\.top_k must be an integer or null, not 'few'"):
        check_command("evaluate", ["run=x", "samples.top_k=few"])
    with pytest.raises(InputError, match=r"samples\.promt: there is no promt in samples; did you mean prompt"):
        check_command("evaluate", ["run=x", "samples.promt=x"])


TABLE = [(k, k * k % 7, "no" if k % 3 else "yes") for k in range(40)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first, second, label: (first, second, label), None),
        (
            lambda first, second, label: (first, 2 * second, label),
            "input scale: .* in the checkpoint, .* in the data",
        ),
        (
            lambda first, second, label: (first, second, label.replace("no", "never")),
            "target .*'no' in the checkpoint, 'never' in the data",
        ),
        (
            lambda first, second, label: (first, second, "maybe" if first > 30 else label),
            "2 entries in the checkpoint, 3 in the data",
        ),
        (
            lambda first, second, label: (first, second, first / 2),
            "target: Classes in the checkpoint, Values in the data",
        ),
    ],
    ids=["unchanged", "scale", "class_name", "additional_class", "numeric_target"],
)
def test_data_that_changed_since_training_is_rejected(
    change: Any, message: str | None, tmp_path: Path, command: Callable[..., Any]
) -> None:
    def write(rows: list[Any]) -> None:
        lines = [",".join(str(cell) for cell in row) for row in rows]
        (tmp_path / "table.csv").write_text("\n".join(["first,second,label", *lines]))

    write(TABLE)
    settings = ["data=csv", f"data.path={tmp_path}/table.csv", "data.target=label", "trainer.max_epochs=1"]
    metrics = train(command("train", "run", *settings, "accelerator=cpu"))
    write([change(*row) for row in TABLE])
    cfg = command("evaluate", "again", f"run={tmp_path}/run", "accelerator=cpu")
    if message is None:
        assert evaluate(cfg)["test/loss"] == metrics["test/loss"]
        with pytest.raises(InputError, match=r"samples\.prompt: MLP on CSVTable is not a language model"):
            evaluate(command("evaluate", "other", f"run={tmp_path}/run", "samples.prompt=a", "accelerator=cpu"))
        return
    with pytest.raises(InputError, match=rf"best\.ckpt was trained on different data: .*{message}"):
        evaluate(cfg)
    assert not (tmp_path / "again").exists()
