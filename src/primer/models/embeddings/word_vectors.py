"""Base class of models that learn vectors of words."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from primer.data.readers.vocabulary import SPECIAL
from primer.data.readers.word_vectors import WordVectors
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.spec import Spec, Tokens


class WordVectorModel(Model):
    """A model whose product is a vector for each word: words that occur in the same contexts get similar vectors.

    Each word has two vectors, one as the word in the middle and one as a word of the context. Their gradients are
    sparse: a step updates the vectors of the words in the batch alone.

    Args:
        spec: description of the data set.
        vector_size: size of the vectors.
        sparse: whether gradients are sparse.
        objective: the loss of the model itself.

    Attributes:
        words: the vectors of the words in the middle.
        contexts: the vectors of the words of the context.

    Raises:
        InputError: if the size is less than 1; before a run, if it has several processes.
    """

    inputs = Tokens

    def __init__(
        self, spec: Spec, vector_size: int = 100, sparse: bool = True, objective: Objective | None = None
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Tokens)
        check_sizes(vector_size=vector_size)
        vocabulary = len(spec.input.vocabulary)
        self.words = nn.Embedding(vocabulary, vector_size, sparse=sparse)
        self.contexts = nn.Embedding(vocabulary, vector_size, sparse=sparse)

    @abstractmethod
    def vectors(self) -> Float[Tensor, "vocabulary size"]:
        """Returns the vector of each entry of the vocabulary. Those of padding and unknown words are not learned."""

    def table(self) -> WordVectors:
        """Returns the words of the vocabulary, without padding and unknown words, and their vectors."""
        assert isinstance(self.spec.input, Tokens)
        vectors = self.vectors().detach().float().cpu().numpy()
        return WordVectors(self.spec.input.vocabulary[len(SPECIAL) :], vectors[len(SPECIAL) :])

    def forward(
        self, inputs: Int[Tensor, "*words"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "*words size"]:
        """Returns the vector of each word, of runs of words or of sentences."""
        return nn.functional.embedding(inputs, self.vectors())

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.world_size > 1:
            raise InputError(f"{type(self).__name__} is trained in one process: set accelerator.devices=1")

    def vocabulary_parameters(self, spec: Spec) -> dict[str, tuple[str, ...]]:
        if not isinstance(spec.input, Tokens):
            return {}
        return dict.fromkeys(("words.weight", "contexts.weight"), spec.input.vocabulary)
