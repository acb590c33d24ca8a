"""Interpolated n-gram models: baselines for language models."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def interpolated_nll(train: Tensor, tune: Tensor, test: Tensor, vocabulary: int, order: int = 3) -> float:
    """Returns the mean negative log-likelihood, in nats, of all tokens of ``test`` but the first, under a linear
    interpolation of n-grams up to an order (Jelinek and Mercer 1980), by default trigrams.

    Relative frequencies are estimated on ``train``. The weights maximize the likelihood of ``tune`` by expectation
    maximization (Chen and Goodman 1999, section 2.4), separately for each range of the count of the longest context in
    ``train``. A uniform distribution over the vocabulary is included, for unseen tokens.

    Args:
        train, tune, test: ``(tokens,)`` indices.
        vocabulary: vocabulary size.
        order: maximum n; 3 for trigrams.
    """
    streams = [stream.numpy().astype(np.int64) for stream in (train, tune, test)]
    probs, contexts = zip(
        *(relative_frequencies(streams[0], stream, vocabulary, order) for stream in streams[1:]), strict=True
    )
    bins = [np.minimum(np.log2(count + 1).astype(int), 15) for count in contexts]
    weights = np.full((16, order + 1), 1 / (order + 1))
    for _ in range(30):
        responsibilities = weights[bins[0]] * probs[0]
        responsibilities /= responsibilities.sum(1, keepdims=True)
        sums = np.stack([np.bincount(bins[0], column, minlength=16) for column in responsibilities.T], axis=1)
        weights = (sums + 1e-3) / (sums + 1e-3).sum(1, keepdims=True)
    return float(-np.log((weights[bins[1]] * probs[1]).sum(1)).mean())


def relative_frequencies(
    train: np.ndarray, stream: np.ndarray, vocabulary: int, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the relative frequency in ``train`` with which each token of ``stream`` but the first follows its
    context, ``(tokens, 1 + order)``: for a uniform distribution, then for 1-grams up to the given order. Also returns
    the count of the longest context; for trigrams, that of the two preceding tokens."""
    probs = np.full((len(stream) - 1, order + 1), 1 / vocabulary)
    context = np.zeros(len(stream) - 1)
    for n in range(1, order + 1):
        whole, context = counts(train, stream, vocabulary, n), counts(train[:-1], stream[:-1], vocabulary, n - 1)
        size = len(stream) - 1
        context = np.full(size, len(train)) if n == 1 else np.concatenate([np.zeros(size - len(context)), context])
        whole = np.concatenate([np.zeros(size), whole])[-size:]
        probs[:, n] = np.divide(whole, context, out=np.zeros(size), where=context > 0)
    return probs, context


def counts(train: np.ndarray, stream: np.ndarray, vocabulary: int, n: int) -> np.ndarray:
    """Returns the count in ``train`` of each n-gram of ``stream``."""
    if n == 0:
        return np.zeros(0)
    keys, numbers = np.unique(codes(train, vocabulary, n), return_counts=True)
    queries = codes(stream, vocabulary, n)
    indices = np.searchsorted(keys, queries).clip(max=len(keys) - 1)
    return np.where(keys[indices] == queries, numbers[indices], 0)


def codes(stream: np.ndarray, vocabulary: int, n: int) -> np.ndarray:
    """Encodes each n-gram as an integer."""
    size = len(stream) - n + 1
    return sum(stream[k : k + size] * vocabulary ** (n - 1 - k) for k in range(n))  # type: ignore[return-value]
