"""Collects what the report of a run shows besides its metrics and pictures, and writes the report."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor, nn

from primer.batch import Batch
from primer.callbacks.collecting import Top
from primer.models.base import Model
from primer.objectives.class_metrics import per_class
from primer.objectives.classification import Classification
from primer.objectives.model_loss import ModelLoss
from primer.records import run_folder
from primer.reports.html import write_html
from primer.reports.publish import gather_objects, log_failure
from primer.spec import IGNORE, PADDING, Classes, Interactions, Tags, Tokens, Values, Vector

MAX_FEATURES, MAX_WORDS = 6, 40
"""The maximum numbers of features and of words shown of a mistake."""


class Report(Callback):
    """Writes ``report.html`` at the end of a run: what was run, its curves, metrics, pictures and worst mistakes, the
    layers with their shapes, and the time of each phase. It is rendered from the files of the run folder; what is not
    in any other of them is written to ``report.json``, so that ``python -m primer report RUN`` can render it again.

    An error in the report prints a warning but never stops the run.

    Args:
        dirpath: the run folder.
        mistakes: the number of worst mistakes listed, for tables, texts and series; 0 for none.
    """

    def __init__(self, dirpath: str | Path, mistakes: int = 10) -> None:
        self.dirpath, self.mistakes = Path(dirpath), mistakes
        self.content: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._worst = Top(0)
        self._few: Batch | None = None

    # Time per phase.

    def on_fit_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._started["training"] = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._add_time("training")
        if "training" in self.seconds:
            self.seconds["training"] -= self.seconds.get("validation", 0.0)

    def on_validation_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._started["validation"] = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._add_time("validation")

    # The test.

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        self._started["test"] = time.perf_counter()
        self._worst, self._few = Top(self.mistakes), None

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not isinstance(batch, Batch):
            return
        if self._few is None:
            self._few = batch.select(torch.arange(min(2, batch.size)), tagged=isinstance(pl_module.spec.target, Tags))
        target = pl_module.spec.target
        if not isinstance(target, Classes | Values) or not isinstance(
            pl_module.spec.input, Vector | Tokens | Interactions
        ):
            return
        if not self.mistakes or not isinstance(outputs, Tensor) or batch.targets is None:
            return
        if isinstance(pl_module.objective, ModelLoss):  # It does not predict the targets.
            return
        with log_failure(self.dirpath, "report"):
            predicted = pl_module.predict_batch(batch, outputs)
            rows = [batch.inputs, batch.targets, predicted]
            if isinstance(target, Classes):
                logs = pl_module.objective.log_probabilities(outputs)  # type: ignore[operator]
                score = -logs.gather(1, batch.targets[:, None]).squeeze(1)
                score = score.masked_fill(predicted == batch.targets, -torch.inf)
                rows.append(logs.gather(1, predicted[:, None]).squeeze(1).exp())
            else:
                std = torch.tensor(target.std or (1.0,), device=predicted.device)
                score = ((predicted - batch.targets) / std).abs().mean(1)
            self._worst.offer(score.float(), *rows)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._add_time("test")
        self._started["pictures and samples"] = time.perf_counter()

    def on_test_end(self, trainer: Trainer, pl_module: Model) -> None:
        self._add_time("pictures and samples")
        with log_failure(self.dirpath, "report"):
            worst = Top(self.mistakes)
            for rows in gather_objects([row.cpu() for row in self._worst.rows]):
                worst.offer(*rows)
            confusion = pl_module.evaluation.arrays.get("test", {}).get("confusion")
            names = getattr(pl_module.spec.target, "names", ())
            self.content |= {
                "classes": [] if confusion is None else per_class(confusion, names),
                "mistakes": describe_mistakes(pl_module, worst.rows),
                "positive": positive_class(pl_module),
                "threshold": chosen_threshold(pl_module),
                "layers": describe_layers(trainer, pl_module, self._few),
            }

    def write(self, folder: Path, baseline: str, monitor: str | None, mode: str | None) -> None:
        """Writes ``report.json`` and ``report.html``; called when all other files of the run are written.

        Args:
            folder: the run folder.
            baseline: what the baseline predicts.
            monitor, mode: the metric that selects the best epoch, and whether a lower or a higher value is better.
        """
        seconds = {name: round(value, 3) for name, value in self.seconds.items()}
        with log_failure(folder, "report"):
            goal = {"monitor": monitor, "mode": mode}
            content = self.content | {"baseline": baseline, "seconds": seconds} | goal
            run_folder.write(folder / "report.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            write_html(folder)

    def _add_time(self, phase: str) -> None:
        if phase in self._started:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - self._started.pop(phase)


def positive_class(model: Model) -> str | None:
    """Returns the class that precision, recall and F1 are of; None unless there are two classes."""
    target = model.spec.target
    return target.names[target.positive] if isinstance(target, Classes) and len(target.names) == 2 else None


def chosen_threshold(model: Model) -> float | None:
    """Returns the probability from which on the positive class is predicted; None without a threshold."""
    return model.objective.chosen_threshold() if isinstance(model.objective, Classification) else None


def describe_mistakes(model: Model, rows: list[Tensor]) -> list[dict[str, str]]:
    """Returns the inputs, the prediction and the truth of the worst mistakes, as texts."""
    if not rows:
        return []
    target, mistakes = model.spec.target, []
    for score, inputs, true, predicted, *confidence in zip(*rows, strict=True):
        if not score.isfinite():
            continue
        mistake = {"input": describe_input(model, inputs)}
        if isinstance(target, Classes):
            mistake |= {"true": target.names[int(true)], "predicted": target.names[int(predicted)]}
            mistake["confidence"] = f"{confidence[0].item():.1%}"
        else:
            texts = (", ".join(f"{value:.4g}" for value in values.tolist()[:4]) for values in (true, predicted))
            mistake |= dict(zip(("true", "predicted"), texts, strict=True))
        mistakes.append(mistake)
    return mistakes


def describe_input(model: Model, inputs: Tensor) -> str:
    """Returns the words of a text, or the features of a sample that are farthest from their mean."""
    kind = model.spec.input
    if isinstance(kind, Tokens):
        words = inputs[..., 0] if inputs.ndim == 2 else inputs
        indices = [index for index in words.tolist() if index not in (PADDING, IGNORE)]
        return " ".join(kind.vocabulary[index] for index in indices[:MAX_WORDS]) + (" …" * (len(indices) > MAX_WORDS))
    if isinstance(kind, Interactions):
        user, item = inputs.tolist()
        return f"{kind.names[0]} {kind.users[user]}, {kind.names[1]} {kind.items[item]}"
    assert isinstance(kind, Vector)
    chosen = inputs.abs().argsort(descending=True)[:MAX_FEATURES].sort().values
    mean, std = (torch.tensor(each) if each else None for each in (kind.mean, kind.std))
    values = inputs if mean is None or std is None else inputs * std + mean
    names = kind.names or [f"feature {k + 1}" for k in range(kind.features)]
    return ", ".join(f"{names[k]} {values[k].item():.4g}" for k in chosen.tolist())


def describe_layers(trainer: Trainer, model: Model, batch: Batch | None) -> list[dict[str, Any]]:
    """Returns the layers that have parameters or are run on a test sample: names, kinds, the shapes in and out without
    the batch dimension, parameters and, for convolutions, the arithmetic of their size and parameters."""
    shapes: dict[str, tuple[list[int], list[int]]] = {}

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            output = output[0] if isinstance(output, tuple) else output
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                shapes.setdefault(name, (list(inputs[0].shape[1:]), list(output.shape[1:])))

        return hook

    leaves = {name: module for name, module in model.named_modules() if is_layer(name, module)}
    handles = [module.register_forward_hook(record(name)) for name, module in leaves.items()]
    try:
        if batch is not None and defines_outputs(model):
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                model.forward_batch(batch)
    finally:
        for handle in handles:
            handle.remove()
    rows = []
    for name, module in leaves.items():
        size, out = shapes.get(name, ([], []))
        parameters = sum(parameter.numel() for parameter in module.parameters())
        if parameters or name in shapes:
            work = convolution_arithmetic(module, size, out) if isinstance(module, nn.Conv2d) else ""
            rows.append(
                {"name": name, "kind": type(module).__name__, "in": size, "out": out, "parameters": parameters}
                | {"arithmetic": work}
            )
    return rows


def defines_outputs(model: Model) -> bool:
    """Whether a model computes outputs for a batch; one that overrides ``training_step`` may not."""
    kind = type(model)
    return kind.forward is not Model.forward or kind.forward_batch is not Model.forward_batch


def is_layer(name: str, module: nn.Module) -> bool:
    """Whether a module of a model is shown as a layer: one without parts of its own."""
    return bool(name) and not name.startswith(("objective", "evaluation")) and not list(module.children())


def convolution_arithmetic(module: nn.Conv2d, size: list[int], out: list[int]) -> str:
    """Returns how the output size and the number of parameters of a convolution follow from its settings."""
    (kernel, width), stride = module.kernel_size, module.stride[0]
    inputs = module.in_channels // module.groups
    bias = " + 1" if module.bias is not None else ""
    count = sum(parameter.numel() for parameter in module.parameters())
    weights = f"{module.out_channels} · ({inputs} · {kernel} · {width}{bias}) = {count:,} parameters"
    if len(size) != 3 or isinstance(module.padding, str) or module.dilation != (1, 1):
        return weights
    padding = module.padding[0]
    return f"⌊({size[1]} + 2 · {padding} − {kernel}) / {stride}⌋ + 1 = {out[1]}; {weights}"
