"""Word2vec: skip-gram and CBOW, with negative sampling and hierarchical softmax."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Step
from primer.models.embeddings.word_vectors import WordVectorModel
from primer.models.layers.huffman import huffman_codes
from primer.models.layers.validation import check_choice, check_sizes
from primer.objectives import Objective
from primer.spec import PADDING, Context, Spec

BLOCK = 32
"""Number of consecutive words that share their noise words, and number of noise words of a block."""

NOISE_TABLE = 2**20
"""Number of entries of the table that noise words are drawn from, as in word2vec."""

EVAL_NOISE = 512
"""Number of noise words in evaluation, the same for all words."""


class Word2Vec(WordVectorModel):
    r"""Vectors of words that predict the words around them (Mikolov et al. 2013a, 2013b). Skip-gram predicts each word
    of the context from the word in the middle; CBOW (continuous bag of words) predicts the word in the middle from the
    mean of its context.

    With negative sampling, a word :math:`w` is told apart from noise words :math:`n_k`:

    .. math::
        -\log \sigma(u_w \cdot v) - \sum_{k=1}^{\text{negative}} \log \sigma(-u_{n_k} \cdot v)

    With hierarchical softmax, the inner nodes of a Huffman tree have vectors instead of words, and the loss is that of
    the turns on the path to the word.

    Batches are runs of words, not pairs. They are divided into blocks, whose words share their noise words, so that
    all scores are a few matrix products (Ji et al. 2016). Gradients are summed over a batch, as if each pair were a
    step of its own, so the learning rate is close to that of word2vec. In evaluation, the context is always the whole
    window and the noise words are the same for all words, so the loss does not depend on the batch size.

    Args:
        spec: description of the data set.
        architecture: ``skip_gram`` or ``cbow``.
        vector_size: size of the vectors.
        window: maximum distance between a word and a word of its context. In training, the distance is drawn for each
            word from 1 to this.
        negative: number of noise words for each predicted word; 0 for no negative sampling.
        hs: whether to use hierarchical softmax. With ``negative``, both losses are added.
        ns_exponent: exponent of the word frequencies that noise words are drawn from.
        sparse: whether gradients are sparse.
        objective: the loss of the model itself.

    Raises:
        InputError: if a size is less than 1, ``negative`` is negative, or neither loss is chosen.
    """

    targets = Context
    sums_gradients = True

    distance: Tensor
    noise_table: Tensor
    eval_noise: Tensor
    path_nodes: Tensor
    path_turns: Tensor
    path_mask: Tensor

    def __init__(
        self,
        spec: Spec,
        architecture: Literal["skip_gram", "cbow"] = "skip_gram",
        vector_size: int = 100,
        window: int = 5,
        negative: int = 5,
        hs: bool = False,
        ns_exponent: float = 0.75,
        sparse: bool = True,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, vector_size, sparse, objective)
        assert isinstance(spec.target, Context)
        check_sizes(window=window)
        check_choice("architecture", architecture, ("skip_gram", "cbow"))
        if negative < 0:
            raise InputError(f"negative must be at least 0, not {negative}")
        if not negative and not hs:
            raise InputError("negative=0 leaves no loss: set it to at least 1, or hs=true for hierarchical softmax")
        self.architecture, self.window, self.negative = architecture, window, negative
        offsets = torch.arange(-window, BLOCK + window) - torch.arange(BLOCK)[:, None]
        distance = offsets.abs().masked_fill(offsets == 0, window + 1)  # A word is not in its own context.
        self.register_buffer("distance", distance, persistent=False)
        counts = torch.tensor(spec.target.occurrences, dtype=torch.float64)
        weights = torch.where(counts > 0, counts**ns_exponent, 0.0)
        self.register_buffer("noise_table", quantiles(weights, NOISE_TABLE), persistent=False)
        self.register_buffer("eval_noise", quantiles(weights, EVAL_NOISE), persistent=False)
        self.nodes = None
        if hs:
            codes = huffman_codes(spec.target.occurrences)
            for name, value in codes._asdict().items():
                self.register_buffer(f"path_{name}", value, persistent=False)
            self.nodes = nn.Embedding(max(1, int((counts > 0).sum()) - 1), vector_size, sparse=sparse)
            nn.init.zeros_(self.nodes.weight)
        nn.init.uniform_(self.words.weight, -0.5 / vector_size, 0.5 / vector_size)
        nn.init.zeros_(self.contexts.weight)
        if not negative:
            self.contexts.weight.requires_grad_(False)

    def vectors(self) -> Float[Tensor, "vocabulary size"]:
        return self.words.weight

    def step(self, batch: Batch) -> Step:
        """Computes the mean loss of a run of words: over the pairs of a word and a word of its context for skip-gram,
        over the words that have a context for CBOW."""
        assert batch.targets is not None
        middle, around, near = self.split(batch.inputs, batch.targets)
        if self.architecture == "skip_gram":
            vectors = self.words(middle)
            predicted, weight = around, near
        else:
            vectors = mean_with_summed_gradient(near, self.words(around))
            predicted, weight = middle, near.amax(2)
        loss = vectors.new_zeros(())
        if self.negative:
            loss = loss + self.negative_sampling(vectors, predicted, weight)
        if self.nodes is not None:
            loss = loss + self.hierarchical_softmax(vectors, predicted, weight)
        count = weight.sum().long()
        return Step(loss / count.clamp(min=1), count)

    def split(
        self, words: Int[Tensor, " time"], sentences: Int[Tensor, " time"]
    ) -> tuple[Int[Tensor, "blocks block"], Int[Tensor, "blocks span"], Float[Tensor, "blocks block span"]]:
        """Returns the words of each block, the words of the block and of a window on both sides, and which of the
        latter are in the context of which of the former, as 0 and 1."""
        extra, span = -len(words) % BLOCK if len(words) else BLOCK, BLOCK + 2 * self.window
        sides = (self.window, self.window + extra)
        middle = F.pad(words, (0, extra), value=PADDING).view(-1, BLOCK)
        around = F.pad(words, sides, value=PADDING).unfold(0, span, BLOCK)
        own = F.pad(sentences, (0, extra), value=-1).view(-1, BLOCK, 1)
        others = F.pad(sentences, sides, value=-2).unfold(0, span, BLOCK)
        reach: Tensor | int = self.window
        if self.training:
            reach = torch.randint(1, self.window + 1, own.shape, device=words.device)
        return middle, around, ((self.distance <= reach) & (others[:, None] == own)).float()

    def negative_sampling(self, vectors: Tensor, predicted: Tensor, weight: Tensor) -> Float[Tensor, ""]:
        """Returns the sum of the losses.

        Args:
            vectors: ``(blocks, block, size)`` what predicts.
            predicted: the words to predict, ``(blocks, span)`` for all of a block or ``(blocks, block)`` for each word.
            weight: ``(blocks, block, span)`` or ``(blocks, block)`` which predictions count.
        """
        noise = self.draw_noise(len(vectors))
        targets = weight.sum(-1).flatten(1) if weight.ndim == 3 else weight
        noise_weight = (targets * (self.negative / noise.shape[1]))[..., None].expand(-1, -1, noise.shape[1])
        if weight.ndim == 3:
            scores = vectors @ self.contexts(torch.cat([predicted, noise], 1)).transpose(1, 2)
            labels = torch.zeros_like(scores)
            labels[..., : predicted.shape[1]] = 1
            return logistic_loss(scores, labels, torch.cat([weight, noise_weight], 2))
        # One lookup, since adding two sparse gradients takes as long as the rest.
        own, others = self.contexts(torch.cat([predicted, noise], 1)).split((predicted.shape[1], noise.shape[1]), 1)
        positive = F.softplus(-(vectors * own).sum(2))
        negative = F.softplus(vectors @ others.transpose(1, 2)).sum(2)
        return ((positive + negative * (self.negative / noise.shape[1])) * weight).sum()

    def draw_noise(self, blocks: int) -> Int[Tensor, "blocks noise"]:
        """Draws noise words for each block; in evaluation, they are always the same."""
        if not self.training:
            return self.eval_noise.expand(blocks, -1)
        return self.noise_table[torch.randint(NOISE_TABLE, (blocks, BLOCK), device=self.noise_table.device)]

    def hierarchical_softmax(self, vectors: Tensor, predicted: Tensor, weight: Tensor) -> Float[Tensor, ""]:
        """Returns the sum of the losses. The arguments are those of ``negative_sampling``."""
        assert self.nodes is not None
        turns, on_path = self.path_turns[predicted], self.path_mask[predicted]
        nodes = self.nodes(self.path_nodes[predicted])
        if weight.ndim == 3:
            scores = (vectors @ nodes.flatten(1, 2).transpose(1, 2)).unflatten(2, on_path.shape[1:])
            return logistic_loss(scores, turns[:, None].expand_as(scores), weight[..., None] * on_path[:, None])
        scores = (nodes @ vectors[..., None]).squeeze(-1)
        return logistic_loss(scores, turns, weight[..., None] * on_path)


def quantiles(weights: Float[Tensor, " vocabulary"], count: int) -> Int[Tensor, " count"]:
    """Returns indices, each about as often as its weight says."""
    cdf = weights.cumsum(0) / weights.sum()
    return torch.searchsorted(cdf, (torch.arange(count, dtype=cdf.dtype) + 0.5) / count).clamp(max=len(cdf) - 1)


def logistic_loss(scores: Tensor, labels: Tensor, weight: Tensor) -> Float[Tensor, ""]:
    """Returns the weighted sum of the logistic losses of scores for labels 0 and 1."""
    return F.binary_cross_entropy_with_logits(scores, labels, weight, reduction="sum")


def mean_with_summed_gradient(
    near: Float[Tensor, "blocks block span"], vectors: Float[Tensor, "blocks span size"]
) -> Float[Tensor, "blocks block size"]:
    """Returns the mean vector of each context. Its gradient is passed on to each word of the context undivided, as in
    word2vec."""
    total = near @ vectors
    with torch.no_grad():  # Changes the value, but not how gradients flow back.
        return total.div_(near.sum(2, keepdim=True).clamp(min=1))
