"""What a language model has to beat: counts of a few tokens in a row."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def interpolated(train: Tensor, tune: Tensor, test: Tensor, vocabulary: int, order: int = 3) -> float:
    """The mean negative log-likelihood, in nats, of all tokens of ``test`` but the first, by the linear interpolation
    of n-grams up to an order (Jelinek and Mercer 1980): a trigram by default.

    The relative frequencies are those of ``train``. The weights maximise the likelihood of ``tune``, found by
    expectation maximisation (Chen and Goodman 1999, section 2.4); they depend on how often the longest context that was
    seen occurs in ``train``. A uniform distribution over the vocabulary takes part, for tokens that were never seen.

    Args:
        train, tune, test: ``(tokens,)`` indices.
        vocabulary: the number of tokens that there are.
        order: 3 for trigrams.
    """
    streams = [stream.numpy().astype(np.int64) for stream in (train, tune, test)]
    shares, contexts = zip(*(frequencies(streams[0], stream, vocabulary, order) for stream in streams[1:]), strict=True)
    bins = [np.minimum(np.log2(seen + 1).astype(int), 15) for seen in contexts]
    weights = np.full((16, order + 1), 1 / (order + 1))
    for _ in range(30):
        responsible = weights[bins[0]] * shares[0]
        responsible /= responsible.sum(1, keepdims=True)
        sums = np.stack([np.bincount(bins[0], column, minlength=16) for column in responsible.T], axis=1)
        weights = (sums + 1e-3) / (sums + 1e-3).sum(1, keepdims=True)
    return float(-np.log((weights[bins[1]] * shares[1]).sum(1)).mean())


def frequencies(train: np.ndarray, stream: np.ndarray, vocabulary: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each token of ``stream`` but the first follows its context in ``train``, as a share of how often that
    context is there: ``(tokens, 1 + order)``, from no context at all (uniform, then 1-grams) to the longest. And how
    often the longest context is there: of a trigram, its first two tokens."""
    shares = np.full((len(stream) - 1, order + 1), 1 / vocabulary)
    seen = np.zeros(len(stream) - 1)
    for n in range(1, order + 1):
        whole, context = counts(train, stream, vocabulary, n), counts(train[:-1], stream[:-1], vocabulary, n - 1)
        size = len(stream) - 1
        context = np.full(size, len(train)) if n == 1 else np.concatenate([np.zeros(size - len(context)), context])
        whole = np.concatenate([np.zeros(size), whole])[-size:]
        shares[:, n] = np.divide(whole, context, out=np.zeros(size), where=context > 0)
        seen = context
    return shares, seen


def counts(train: np.ndarray, stream: np.ndarray, vocabulary: int, n: int) -> np.ndarray:
    """For each n tokens in a row of ``stream``, how often they stand in ``train``."""
    if n == 0:
        return np.zeros(0)
    keys, numbers = np.unique(codes(train, vocabulary, n), return_counts=True)
    wanted = codes(stream, vocabulary, n)
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, numbers[places], 0)


def codes(stream: np.ndarray, vocabulary: int, n: int) -> np.ndarray:
    """A number for each n tokens in a row."""
    size = len(stream) - n + 1
    return sum(stream[k : k + size] * vocabulary ** (n - 1 - k) for k in range(n))  # type: ignore[return-value]
