"""GloVe."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.embeddings.word_vectors import WordVectorModel
from primer.objectives import Objective
from primer.spec import Cooccurrence, Spec, Tokens


class GloVe(WordVectorModel):
    r"""Global vectors (Pennington, Socher and Manning 2014): products of word vectors are fitted to the logarithms of
    the counts :math:`X_{ij}` of words that occur near each other, by weighted least squares:

    .. math::
        f(X_{ij}) \, (w_i \cdot \tilde w_j + b_i + \tilde b_j - \log X_{ij})^2, \quad
        f(x) = \min(1, (x / x_{\max})^\alpha)

    The vector of a word is the sum of its two vectors. Gradients are summed over a batch, as if each pair were a step
    of its own.

    Args:
        spec: description of the data set.
        vector_size: size of the vectors.
        x_max: count from which on pairs have the full weight.
        alpha: exponent of the weight of rarer pairs.
        sparse: whether gradients are sparse.
        objective: the loss of the model itself.

    Raises:
        InputError: if ``vector_size`` is less than 1, or ``x_max`` or ``alpha`` is not positive.
    """

    targets = Cooccurrence
    sums_gradients = True

    def __init__(
        self,
        spec: Spec,
        vector_size: int = 100,
        x_max: float = 100.0,
        alpha: float = 0.75,
        sparse: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, vector_size, sparse, objective)
        assert isinstance(spec.input, Tokens)
        for name, value in (("x_max", x_max), ("alpha", alpha)):
            if not value > 0:
                raise InputError(f"{name} must be more than 0, not {value}")
        self.x_max, self.alpha = x_max, alpha
        vocabulary = len(spec.input.vocabulary)
        self.word_biases = nn.Embedding(vocabulary, 1, sparse=sparse)
        self.context_biases = nn.Embedding(vocabulary, 1, sparse=sparse)
        for layer in (self.words, self.contexts, self.word_biases, self.context_biases):
            nn.init.uniform_(layer.weight, -0.5 / vector_size, 0.5 / vector_size)

    def vectors(self) -> Float[Tensor, "vocabulary size"]:
        return self.words.weight + self.contexts.weight

    def step(self, batch: Batch) -> Step:
        """Computes the mean weighted squared error over the pairs."""
        assert batch.targets is not None
        first, second = batch.inputs.unbind(1)
        products = (self.words(first) * self.contexts(second)).sum(1, keepdim=True)
        predicted = (products + self.word_biases(first) + self.context_biases(second)).squeeze(1)
        weight = (batch.targets / self.x_max).pow(self.alpha).clamp(max=1)
        loss = weight * (predicted - torch.log(batch.targets)).square()
        return Step(loss.mean(), batch.size)

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        names = super().vocabulary_parameters(spec)
        words = next(iter(names.values()), None)
        return names if words is None else names | dict.fromkeys(
            ("word_biases.weight", "context_biases.weight"), words
        )  # fmt: skip
