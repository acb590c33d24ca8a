"""A baseline that needs no training, tested on the same samples as the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from lightning import Callback, Trainer
from torch import Tensor
from torchmetrics import MetricCollection

from primer.batch import Batch
from primer.data.base import DataModule
from primer.data.recommendation.biases import fit_biases
from primer.data.recommendation.sessions import Sessions
from primer.data.recommendation.transitions import Transitions
from primer.data.text.masking import Maskable
from primer.data.text.tagging import count_tags
from primer.data.text.token_stream import TokenStream
from primer.models.base import Model
from primer.models.generative.autoencoder import Autoencoder
from primer.models.generative.best_linear import BestLinear, fit_best_linear
from primer.objectives import ModelLoss, Objective, auto
from primer.spec import Classes, Interactions, MaskedToken, NextToken, Spec, Tags, Tokens, Values

SELDOM = 1e-6
"""The count of a token that does not occur in the training part, so that its probability is not 0."""


class Reference(NamedTuple):
    """A baseline: what it predicts, in words, and its outputs for a batch, as the default objective expects them. The
    metrics of a second baseline are logged under its ``name``."""

    description: str
    outputs: Callable[[Batch], Tensor]
    name: str = ""


class Baseline(Callback):
    """Tests a baseline beside the model, and logs its metrics as ``baseline/test/…``, and those of a second one as
    ``baseline/NAME/test/…``.

    The baseline is estimated from the training part alone: the most frequent class, the mean, biases of users and
    items, the last value of a series, the most frequent tag of each word, or the frequencies of tokens. Next items are
    compared both with the most popular ones and with those that most often followed the last one. That of an
    autoencoder is a principal component analysis (PCA) with codes of the same size. Other models whose objective is
    their own, data without such a baseline, and metrics that the model does not have are left out.

    Attributes:
        description: what the baseline of the last test predicts; empty if there was none.
    """

    logged_metrics = ("baseline/test/*", "baseline/*/test/*")

    def __init__(self) -> None:
        self.description = ""
        self._references: list[Reference] = []
        self._pca: BestLinear | None = None
        self._error = torch.zeros(2)
        self._counted = False
        self._objective: Objective
        self._metrics: list[MetricCollection]

    def on_test_start(self, trainer: Trainer, pl_module: Model) -> None:
        data = getattr(trainer, "datamodule", None)
        named = pl_module.objective.scalar_names() and not isinstance(pl_module.objective, ModelLoss)
        self._references = find_references(pl_module.spec, data) if named and isinstance(data, DataModule) else []
        self.description = "; ".join(reference.description for reference in self._references)
        self._counted = False
        self._pca = None
        if isinstance(pl_module, Autoencoder) and isinstance(data, DataModule):
            self._pca, self._error = fit_best_linear(data, pl_module), torch.zeros(2, device=pl_module.device)
        if self._pca:
            self.description = f"PCA with {len(self._pca.components)} components"
        if self._references:
            self._objective = auto(pl_module.spec.target).to(pl_module.device).eval()
            self._metrics = [self._objective.metrics().to(pl_module.device) for _ in self._references]

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Model, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if self._pca and isinstance(batch, Batch) and batch.size:
            assert isinstance(pl_module, Autoencoder)
            samples = pl_module.original(batch.inputs).flatten(1)
            self._error += torch.stack(
                [(self._pca(samples) - samples).square().mean(1).sum(), samples.new_tensor(batch.size)]
            )
        if not self._references or not batch.size or not isinstance(outputs, Tensor):  # The model has no metrics.
            return
        self._counted = True
        for reference, metrics in zip(self._references, self._metrics, strict=True):
            guess = reference.outputs(batch)
            metrics.update(self._objective.predict(guess), batch.targets, inputs=batch.inputs, outputs=guess)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Model) -> None:
        if self._pca:
            total, count = trainer.strategy.reduce(self._error, reduce_op="sum")  # type: ignore[misc]
            pl_module.log("baseline/test/loss", total / count)
            return
        if not self._counted:
            self.description = ""
            return
        shared = set(pl_module.objective.scalar_names())
        for reference, metrics in zip(self._references, self._metrics, strict=True):
            prefix = "/".join(["baseline", *([reference.name] if reference.name else []), "test"])
            for name, value in metrics.compute().items():
                if name in shared and not value.ndim:
                    pl_module.log(f"{prefix}/{name}", value)


def find_references(spec: Spec, data: DataModule) -> list[Reference]:
    """Returns the baselines of a data set, the main one first."""
    if isinstance(data, Sessions):
        return item_references(data)
    reference = find_reference(spec, data)
    return [reference] if reference else []


def find_reference(spec: Spec, data: DataModule) -> Reference | None:
    """Returns the main baseline of a data set; None if it has none."""
    target = spec.target
    if isinstance(target, Classes) and target.counts:
        logits = log_frequencies(torch.tensor(target.counts, dtype=torch.float32))
        name = target.names[int(logits.argmax())]
        return Reference(f"always {name}, the most frequent class", lambda batch: _repeat(logits, batch.size, batch))
    if isinstance(target, Values) and target.continues:
        columns = list(target.continues)
        return Reference("the last value of the series", lambda batch: batch.inputs[:, -1, columns].float())
    if isinstance(target, Values) and isinstance(spec.input, Interactions):
        return bias_reference(spec.input, target, data)
    if isinstance(target, Values):
        zeros = torch.zeros(len(target.names))  # In standardized values.
        return Reference("the mean of the training part", lambda batch: _repeat(zeros, batch.size, batch))
    if isinstance(target, Tags):
        return tag_reference(spec, data)
    if isinstance(target, NextToken | MaskedToken) and isinstance(data, TokenStream | Maskable):
        tokens = data.parts["train"].inputs  # type: ignore[union-attr]
        frequencies = log_frequencies(torch.bincount(tokens.flatten().long(), minlength=len(target.vocabulary)).float())
        return Reference(
            "the frequencies of tokens, whatever precedes",
            lambda batch: _repeat(frequencies, batch.inputs.numel(), batch).unflatten(0, batch.inputs.shape),
        )
    return None


def item_references(data: Sessions) -> list[Reference]:
    """Returns the baselines of next items."""
    transitions = Transitions(*data.transitions(), data.occurrences)

    def popularity(batch: Batch) -> Tensor:
        return transitions.popularity.to(batch.inputs.device).expand(*batch.inputs.shape, -1)

    return [
        Reference("the most popular items", popularity),
        Reference("item to item, those that most often followed the last one", lambda batch: transitions(batch.inputs),
                  "item_to_item"),
    ]  # fmt: skip


def bias_reference(kind: Interactions, target: Values, data: DataModule) -> Reference:
    """Returns the baseline of ratings: the sum of the mean, a bias of the user and one of the item."""
    train = data.whole("train")
    assert train.targets is not None
    values = (train.targets[:, 0] - target.mean[0]) / target.std[0]
    users, items = fit_biases(train.inputs, values, len(kind.users), len(kind.items))

    def outputs(batch: Batch) -> Tensor:
        user, item = batch.inputs.cpu().unbind(1)
        return (users[user] + items[item])[:, None].to(batch.inputs.device)

    return Reference("the mean plus biases of users and of items", outputs)


def tag_reference(spec: Spec, data: DataModule) -> Reference | None:
    """Returns the baseline of tagging: the most frequent tag of each word, and the most frequent one of all for words
    that do not occur in the training part; without words, the most frequent tag."""
    assert isinstance(spec.target, Tags)
    if not data.sizes()["train"]:
        return None
    words = len(spec.input.vocabulary) if isinstance(spec.input, Tokens) else 1
    counts = count_tags(data.loader("train", train=False), words, len(spec.target.names)).float()
    counts = torch.where(counts.sum(1, keepdim=True) > 0, counts, counts.sum(0))
    logits = log_frequencies(counts)

    def outputs(batch: Batch) -> Tensor:
        table = logits.to(batch.inputs.device)
        return table[word_indices(batch.inputs)]

    return Reference("the most frequent tag of each word" if words > 1 else "the most frequent tag", outputs)


def word_indices(inputs: Tensor) -> Tensor:
    """Returns the index of the word at each step ``(batch, time)``; 0 for inputs that are not words."""
    if inputs.is_floating_point():
        return torch.zeros(inputs.shape[:2], dtype=torch.long, device=inputs.device)
    return inputs[..., 0] if inputs.ndim == 3 else inputs


def log_frequencies(counts: Tensor) -> Tensor:
    """Returns the logarithms of relative frequencies along the last dimension."""
    counts = counts.clamp(min=SELDOM)
    return (counts / counts.sum(-1, keepdim=True)).log()


def _repeat(row: Tensor, times: int, batch: Batch) -> Tensor:
    return row.to(batch.inputs.device).expand(times, -1)
