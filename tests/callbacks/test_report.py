"""The report of a run: complete, self-contained, and safe to open."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from primer import __main__
from primer.cli.composition import compose_checked
from primer.records.baselines import baseline_names
from primer.reports.html import describe_fit, metric_rows
from primer.run.training import train

SCRIPT = "<script>alert(1)</script>"
TABLE = "\n".join(["a,b,label", *(f"{k % 7},{k % 5},{SCRIPT if k % 3 == 0 else 'plain'}" for k in range(90))])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a short run on a table with a class that is a script."""
    from omegaconf import OmegaConf

    folder = tmp_path_factory.mktemp("report")
    (folder / "table.csv").write_text(TABLE)
    overrides = ["data=csv", f"data.path={folder}/table.csv", "data.target=label", "trainer.max_epochs=2"]
    cfg = compose_checked("train", [*overrides, "accelerator=cpu", "model=mlp", "callbacks.progress=null"])
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    cfg.paths.output_dir = str(folder / "run")
    train(cfg)
    return folder / "run"


def test_report_is_self_contained_and_escapes_names(run) -> None:
    text = (run / "report.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "prefers-color-scheme: dark" in text


def test_report_shows_the_run(run) -> None:
    text = (run / "report.html").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    for heading in ("Metrics", "Fit", "Pictures", "Classes", "Worst mistakes", "Layers", "Time", "Config"):
        assert f"<h2>{heading}</h2>" in text, heading
    assert f"{metrics['test/accuracy']:.4g}" in text
    assert f"{metrics['baseline/test/accuracy']:.4g}" in text
    assert "always plain, the most frequent class" in text
    assert text.count("data:image/png;base64,") == len(list((run / "pictures").glob("*.png")))
    content = json.loads((run / "report.json").read_text())
    assert {row["class"] for row in content["classes"]} == {SCRIPT, "plain"}
    assert content["positive"] == SCRIPT
    assert content["seconds"].keys() == {"training", "validation", "test", "pictures and samples"}
    sizes = [(layer["in"], layer["out"]) for layer in content["layers"] if layer["kind"] == "Linear"]
    assert sizes[0][0] == [2]
    assert sizes[-1][1] == [2]
    assert content["mistakes"]
    assert content["mistakes"][0]["true"] != content["mistakes"][0]["predicted"]


def test_report_command_renders_it_again(run, tmp_path, capsys) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "report.html").unlink()
    (copy / "pictures" / "curves.png").unlink()
    assert __main__.main(["report", str(copy)]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "report.html")
    again = (copy / "report.html").read_text()
    assert again.replace("copy", "run") == (run / "report.html").read_text().replace("copy", "run")
    assert (copy / "pictures" / "curves.png").read_bytes() == (run / "pictures" / "curves.png").read_bytes()
    assert __main__.main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} is not a run folder")


def test_convolution_arithmetic(command, tmp_path) -> None:
    train(command("train", "run", "model=lenet", "trainer.max_epochs=1", "accelerator=cpu", "callbacks.pictures=null"))
    layers = json.loads((tmp_path / "run" / "report.json").read_text())["layers"]
    convolutions = [layer for layer in layers if layer["kind"] == "Conv2d"]
    assert convolutions
    for layer in convolutions:
        left, size = layer["arithmetic"].split(";")[0].split("=")
        found = re.fullmatch(r"⌊\((\d+) \+ 2 · (\d+) − (\d+)\) / (\d+)⌋ \+ 1 ", left)
        assert found
        height, padding, kernel, stride = map(int, found.groups())
        assert (height + 2 * padding - kernel) // stride + 1 == int(size) == layer["out"][1]
    assert not (tmp_path / "run" / "pictures").exists()


def test_report_can_be_removed(command, tmp_path) -> None:
    off = ("callbacks.pictures=null", "callbacks.report=null", "callbacks.baseline=null")
    metrics = train(command("train", "run", "trainer.max_epochs=1", "accelerator=cpu", *off))
    assert not any(name.startswith("baseline/") for name in metrics)
    assert not {"report.html", "report.json", "pictures"} & {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "expected"),
    [
        ([1.0, 0.5, 0.1, 0.01], [1.0, 0.6, 0.7, 1.2], "overfits"),
        ([2.0, 1.5, 1.2, 1.0], [2.0, 1.6, 1.3, 1.1], "underfits"),
        ([1.0, 0.5, 0.2, 0.1], [1.0, 0.6, 0.51, 0.51], "some overfitting"),
        ([1.0, 0.5, 0.45, 0.45], [1.0, 0.5, 0.46, 0.46], "no sign of overfitting"),
    ],
)
def test_fit_in_plain_words(train_loss: list[float], val_loss: list[float], expected: str) -> None:
    history = {
        name: list(enumerate(values, 1)) for name, values in (("train/loss", train_loss), ("val/loss", val_loss))
    }
    assert expected in describe_fit(history, None)
    assert describe_fit({"train/loss": [(1, 1.0)]}, None) == ""


def test_metrics_are_set_side_by_side() -> None:
    metrics = {"train/loss": 1.0, "best/val/loss": 2.0, "val/loss": 2.5, "test/f1": 0.5}
    metrics |= {"baseline/test/f1": 0.2, "baseline/item_to_item/test/f1": 0.3}
    assert metric_rows(metrics) == [
        {"name": "loss", "train": 1.0, "validation": 2.0, "test": None, "baselines": {}},
        {
            "name": "f1",
            "train": None,
            "validation": None,
            "test": 0.5,
            "baselines": {"baseline": 0.2, "item to item": 0.3},
        },
    ]
    assert baseline_names(metrics) == ["baseline", "item to item"]
