"""Sessions generated from a Markov chain, so that no download is needed."""

from __future__ import annotations

import torch

SUCCESSORS = 10
"""The number of items that often follow a kind of item."""
KINDS = 5
"""The number of kinds of items."""
MEMORY = 0.8
"""The probability that an item depends on the two before it, instead of on popularity alone."""
POPULARITY = 0.5
"""The k-th most popular item occurs in proportion to ``k ** -POPULARITY``."""


def generate_sessions(sessions: int, items: int, per_session: int, seed: int) -> list[list[int]]:
    """Generates sessions: the next item depends on the kinds of the last two, or is any one, popular ones more often.

    Args:
        sessions, items: their numbers.
        per_session: the mean number of items of a session, before those with fewer than two get two.
        seed: seed of everything that is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    popularity = (torch.randperm(items, generator=generator) + 1.0) ** -POPULARITY
    kinds = torch.randint(KINDS, (items,), generator=generator)
    successors = min(SUCCESSORS, items)
    table = torch.rand(KINDS**2, items, generator=generator).argsort(dim=1)[:, :successors]
    weights = torch.linspace(1, 0.1, successors) ** 2
    lengths = (per_session * (0.5 + torch.rand(sessions, generator=generator))).round().long().clamp(min=2)
    steps = [torch.multinomial(popularity, sessions, replacement=True, generator=generator) for _ in range(2)]
    while len(steps) < lengths.max():
        before = kinds[steps[-2]] * KINDS + kinds[steps[-1]]
        chosen = table[before, torch.multinomial(weights, sessions, replacement=True, generator=generator)]
        popular = torch.multinomial(popularity, sessions, replacement=True, generator=generator)
        remembers = torch.rand(sessions, generator=generator) < MEMORY
        steps.append(torch.where(remembers, chosen, popular))
    sequences = torch.stack(steps, 1).tolist()
    return [sequence[:length] for sequence, length in zip(sequences, lengths.tolist(), strict=True)]
