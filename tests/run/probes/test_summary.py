"""``debug=summary``: the layers of a model before any training."""

from __future__ import annotations

import json


def layers_of(result) -> dict[str, list[str]]:
    """Returns the cells of each row of the table."""
    table = result.out.split("\nlayers\n")[1].split("\nparameters\n")[0]
    return {line.split()[0]: line.split()[1:] for line in table.splitlines()}


def test_layers_with_shapes_and_parameters(run_in_process) -> None:
    result = run_in_process("train.py", "debug=summary", "model=mlp", "model.hidden_sizes=[20]", "data=digits")
    assert (result.status, result.err) == (0, "")
    layers = layers_of(result)
    assert layers["hidden.0"] == ["Linear", "64", "→", "20", f"{64 * 20 + 20:,}"]
    assert layers["head"] == ["Linear", "20", "→", "10", "210"]
    metrics = json.loads((result.folder / "metrics.json").read_text())
    counts = [int(cells[-1].replace(",", "")) for cells in layers.values()]
    assert metrics["summary/parameters"] == metrics["summary/trainable"] == sum(counts) == 64 * 20 + 20 + 40 + 210
    assert metrics["summary/bytes"] == 4 * sum(counts)
    assert not (result.folder / "checkpoints").exists()
    assert "<td>hidden.0</td><td>Linear</td><td>64</td><td>20</td>" in (result.folder / "report.html").read_text()


def test_frozen_layers_are_not_trainable(run_in_process) -> None:
    quick = ("model=lenet", "data=digits", "accelerator=cpu")
    folder = run_in_process("train.py", *quick, "trainer.max_epochs=1", "callbacks=[_checkpoint]").folder
    result = run_in_process("train.py", *quick, "debug=summary", f"weights={folder}", "transfer=frozen")
    assert (result.status, result.err) == (0, "")
    metrics = json.loads((result.folder / "metrics.json").read_text())
    head = int(list(layers_of(result).values())[-1][-1].replace(",", ""))
    assert metrics["summary/trainable"] == head < metrics["summary/parameters"]


def test_it_does_not_train(run_in_process, monkeypatch) -> None:
    from lightning import Trainer

    monkeypatch.setattr(Trainer, "fit", None)
    result = run_in_process("train.py", "debug=summary", "model=lstm", "data=pos_tags")
    assert (result.status, result.err) == (0, "")
    assert any(cells[0] == "LSTM" for cells in layers_of(result).values())
