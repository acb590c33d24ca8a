"""Small data sets and models for the tests of the base model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.images.digits import Digits
from primer.models.base import Model
from primer.models.feedforward.mlp import MLP
from primer.spec import IGNORE, Spec, Tags, Tokens

Trainer = Callable[..., L.Trainer]


class Sentences(DataModule):
    """Sentences of 1 to 9 words. The tag of a word is the parity of its index."""

    inputs = Tokens
    targets = Tags

    def __init__(self, size: int = 60, steps: int = 9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.steps = size, steps

    def read(self) -> dict[Part, Records]:
        generator = torch.Generator().manual_seed(0)
        lengths = torch.randint(1, 10, (self.size,), generator=generator)
        words = torch.randint(2, 20, (self.size, 9), generator=generator)
        return {"train": [row[:length].tolist() for row, length in zip(words, lengths, strict=True)]}

    def fit_spec(self, train: Any) -> Spec:
        return Spec(Tokens(tuple(str(number) for number in range(20))), Tags(("even", "odd", "none")))

    def encode(self, records: Any) -> Batch:
        words = torch.zeros(len(records), self.steps, dtype=torch.long)
        for row, record in zip(words, records, strict=True):
            row[: len(record)] = torch.tensor(record)
        return Batch(
            words, torch.where(words > 0, words % 2, IGNORE), torch.tensor([len(record) for record in records])
        )


class Tagger(Model):
    """An embedding followed by a linear layer at each step."""

    inputs = Tokens
    targets = Tags

    def __init__(self, spec: Spec, size: int = 4, dropout: float = 0.0, sparse: bool = False) -> None:
        super().__init__(spec)
        assert isinstance(spec.input, Tokens)
        self.embedding = nn.Embedding(len(spec.input.vocabulary), size, sparse=sparse)
        self.embedding.weight.sparse = sparse  # type: ignore[assignment]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size, self.outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.head(self.dropout(self.embedding(inputs)))


def digits(**settings: Any) -> Digits:
    return Digits(**{"train_size": 100, "batch_size": 16, **settings}).prepare()


def perceptron(data: DataModule, seed: int = 0, **settings: Any) -> MLP:
    torch.manual_seed(seed)
    return MLP(data.spec, **{"hidden_sizes": (16,), **settings})


def tagger(data: DataModule, seed: int = 0, **settings: Any) -> Tagger:
    torch.manual_seed(seed)
    return Tagger(data.spec, **settings)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Returns a copy of the state dict."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def close(first: nn.Module, second: nn.Module, tolerance: float) -> bool:
    """Returns whether the weights of two models agree within an absolute tolerance."""
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), atol=tolerance, rtol=0) for a, b in pairs)


def figures(trainer: L.Trainer) -> dict[str, float]:
    """Returns the logged metrics."""
    return {name: value.item() for name, value in trainer.callback_metrics.items()}
