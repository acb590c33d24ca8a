"""How well words are tagged that are not known, and how well entities are found."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from primer.spec import IGNORE, UNKNOWN, UNSEEN


class UnknownAccuracy(Metric):
    """The share of right predictions among the steps whose token is unknown: it has no entry in the vocabulary."""

    unknown_right: Tensor
    unknown_steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("unknown_right", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("unknown_steps", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, targets: Tensor, inputs: Tensor | None = None) -> None:
        """Predictions and targets ``(batch, time)``; inputs ``(batch, time)``, or ``(batch, time, 1 + letters)`` with
        the spelling of words. Inputs that are no tokens have none that is unknown."""
        if inputs is None or inputs.is_floating_point():
            return
        unknown = unknown_words(inputs) & (targets != IGNORE)
        self.unknown_right += (unknown & (predictions == targets)).sum()
        self.unknown_steps += unknown.sum()

    def compute(self) -> Tensor:
        """A number, or nothing, of shape ``(0,)``, where no token was unknown: then there is nothing to log."""
        share = self.unknown_right / self.unknown_steps
        return share if self.unknown_steps else share.new_empty(0)


def unknown_words(inputs: Tensor) -> Tensor:
    """Which tokens have no entry in the vocabulary, ``(batch, time)``, of inputs as ``UnknownAccuracy`` takes them."""
    return (inputs[..., 0] if inputs.ndim == 3 else inputs) == UNKNOWN


class EntityScores(Metric):
    """Precision, recall and F1 of entities: one is right where its first word, its last word and its kind are, as the
    script conlleval of CoNLL-2003 counts them (Tjong Kim Sang and De Meulder 2003).

    An entity begins with ``B-``, with ``I-`` after ``O`` and with another kind than that of the word before, and so
    both notations, with ``B-`` before each entity or between two of a kind alone, are read rightly.

    Args:
        names: of the tags: ``O``, and any of ``B-`` and ``I-`` with the kind of an entity. Another, such as that of
            unseen tags, is a kind too.
    """

    scalar_names = ("entity_precision", "entity_recall", "entity_f1")
    entities_right: Tensor
    entities_predicted: Tensor
    entities_true: Tensor
    begins: Tensor
    kinds: Tensor

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        for name in ("entities_right", "entities_predicted", "entities_true"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        kinds = {name: name[2:] if name[:2] in ("B-", "I-") else name for name in names if name != "O"}
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds.values()), start=1)}
        begins = torch.tensor([name.startswith("B-") for name in names])
        self.register_buffer("begins", begins, persistent=False)
        numbered = torch.tensor([numbers[kinds[name]] if name in kinds else 0 for name in names])
        self.register_buffer("kinds", numbered, persistent=False)

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Both ``(batch, time)``."""
        padding = targets == IGNORE
        said, true = (self._entities(tags.masked_fill(padding, 0), padding) for tags in (predictions, targets))
        (said_starts, said_ends, said_kinds), (starts, ends, kinds) = said, true
        right = said_starts & starts & (said_ends == ends) & (said_kinds == kinds)
        self.entities_right += right.sum()
        self.entities_predicted += said_starts.sum()
        self.entities_true += starts.sum()

    def compute(self) -> dict[str, Tensor]:
        """Each is 0 where it is a share of nothing."""
        right, said, true = self.entities_right, self.entities_predicted, self.entities_true
        return {
            "entity_precision": right / said.clamp(min=1),
            "entity_recall": right / true.clamp(min=1),
            "entity_f1": 2 * right / (said + true).clamp(min=1),
        }

    def _entities(self, tags: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where entities start, and for each step the place where the entity there ends, and its kind: each ``(batch,
        time)``."""
        kinds = self.kinds[tags].masked_fill(padding, 0)
        inside = kinds != 0
        before = F.pad(kinds, (1, 0))[:, :-1]
        starts = inside & (self.begins[tags] | (before != kinds))
        # The last step of an entity is followed by none of it: by no entity, or by the start of the next.
        after, next_starts = (F.pad(x, (0, 1))[:, 1:] for x in (inside, starts))
        places = torch.arange(tags.shape[1], device=tags.device).expand_as(tags)
        last = torch.where(inside & (~after | next_starts), places, tags.shape[1])
        return starts, last.flip(1).cummin(1).values.flip(1), kinds


def tag_metrics(names: tuple[str, ...]) -> dict[str, Metric | MetricCollection]:
    """What tagged words are judged by besides their classes: accuracy on those that are unknown, and, where all tags
    are ``O`` or begin with ``B-`` or ``I-``, the entities that they mark."""
    marks = {name for name in names if name not in ("O", UNSEEN)}
    entities = marks and all(name[:2] in ("B-", "I-") and name[2:] for name in marks)
    found: dict[str, Metric | MetricCollection] = {"accuracy_unknown": UnknownAccuracy()}
    return found | ({"entities": EntityScores(names)} if entities else {})
