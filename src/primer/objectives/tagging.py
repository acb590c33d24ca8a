"""Tagging metrics: accuracy on unknown words, and precision, recall and F1 of entities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from primer.spec import IGNORE, UNKNOWN, UNSEEN


class UnknownAccuracy(Metric):
    """The fraction of correct predictions among the steps whose token is unknown, that is, not in the vocabulary."""

    higher_is_better: bool | None = True
    unknown_correct: Tensor
    unknown_steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("unknown_correct", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("unknown_steps", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, inputs: Tensor | None = None) -> None:
        """Updates the state with predictions and targets ``(batch, time)``, and inputs ``(batch, time)``, or ``(batch,
        time, 1 + letters)`` with the spelling of words. Inputs other than tokens are ignored."""
        if inputs is None or inputs.is_floating_point():
            return
        unknown = unknown_words(inputs) & (targets != IGNORE)
        self.unknown_correct += (unknown & (predictions == targets)).sum()
        self.unknown_steps += unknown.sum()

    def compute(self) -> Tensor:
        """Returns a scalar, or an empty tensor ``(0,)`` if no token was unknown, so that there is nothing to log."""
        accuracy = self.unknown_correct / self.unknown_steps
        return accuracy if self.unknown_steps else accuracy.new_empty(0)


def unknown_words(inputs: Tensor) -> Tensor:
    """Returns a mask ``(batch, time)`` of the tokens not in the vocabulary; see ``UnknownAccuracy`` for the inputs."""
    return (inputs[..., 0] if inputs.ndim == 3 else inputs) == UNKNOWN


class EntityScores(Metric):
    """Precision, recall and F1 of entities, as computed by the conlleval script of CoNLL-2003 (Tjong Kim Sang and De
    Meulder 2003). An entity is correct if its first word, its last word and its kind all match.

    An entity begins at ``B-``, at ``I-`` after ``O``, and wherever the kind changes. Both notations are therefore read
    correctly: IOB2, with ``B-`` at the start of every entity, and IOB1, with ``B-`` only between adjacent entities of
    one kind.

    Args:
        names: the tag names: ``O``, and ``B-`` or ``I-`` followed by the kind of entity. Any other name, such as the
            one for unseen tags, is a kind of its own.
    """

    higher_is_better: bool | None = True
    scalar_names = ("entity_precision", "entity_recall", "entity_f1")
    entities_correct: Tensor
    entities_predicted: Tensor
    entities_true: Tensor
    begins: Tensor
    kinds: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        for name in ("entities_correct", "entities_predicted", "entities_true"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        kinds = {name: name[2:] if name[:2] in ("B-", "I-") else name for name in names if name != "O"}
        indices = {kind: index for index, kind in enumerate(dict.fromkeys(kinds.values()), start=1)}
        begins = torch.tensor([name.startswith("B-") for name in names])
        self.register_buffer("begins", begins, persistent=False)
        kind_of_tag = torch.tensor([indices[kinds[name]] if name in kinds else 0 for name in names])
        self.register_buffer("kinds", kind_of_tag, persistent=False)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Updates the state with predictions and targets, both ``(batch, time)``."""
        padding = targets == IGNORE
        predicted, true = (self._entities(tags.masked_fill(padding, 0), padding) for tags in (predictions, targets))
        (predicted_starts, predicted_ends, predicted_kinds), (starts, ends, kinds) = predicted, true
        correct = predicted_starts & starts & (predicted_ends == ends) & (predicted_kinds == kinds)
        self.entities_correct += correct.sum()
        self.entities_predicted += predicted_starts.sum()
        self.entities_true += starts.sum()

    def compute(self) -> dict[str, Tensor]:
        """Returns the three scores, each 0 if its denominator is 0."""
        correct, predicted, true = self.entities_correct, self.entities_predicted, self.entities_true
        return {
            "entity_precision": correct / predicted.clamp(min=1),
            "entity_recall": correct / true.clamp(min=1),
            "entity_f1": 2 * correct / (predicted + true).clamp(min=1),
        }

    def _entities(self, tags: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns a mask of entity starts, and for each step the index of its entity's last step and the kind of that
        entity, each ``(batch, time)``."""
        kinds = self.kinds[tags].masked_fill(padding, 0)
        inside = kinds != 0
        before = F.pad(kinds, (1, 0))[:, :-1]
        starts = inside & (self.begins[tags] | (before != kinds))
        # The last step of an entity is followed by a step outside of any entity, or by the start of the next one.
        after, next_starts = (F.pad(x, (0, 1))[:, 1:] for x in (inside, starts))
        steps = torch.arange(tags.shape[1], device=tags.device).expand_as(tags)
        last = torch.where(inside & (~after | next_starts), steps, tags.shape[1])
        return starts, last.flip(1).cummin(1).values.flip(1), kinds


def tag_metrics(names: tuple[str, ...]) -> dict[str, Metric | MetricCollection]:
    """Returns the metrics specific to tagging: accuracy on unknown words, and, if all tags are ``O`` or begin with
    ``B-`` or ``I-``, the entity scores."""
    marks = {name for name in names if name not in ("O", UNSEEN)}
    entities = marks and all(name[:2] in ("B-", "I-") and name[2:] for name in marks)
    metrics: dict[str, Metric | MetricCollection] = {"accuracy_unknown": UnknownAccuracy()}
    return metrics | ({"entities": EntityScores(names)} if entities else {})
