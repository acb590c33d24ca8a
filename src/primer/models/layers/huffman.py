"""Huffman codes of words, for hierarchical softmax."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class HuffmanCodes(NamedTuple):
    """The path to each word from the root of a binary tree, padded to the longest.

    Attributes:
        nodes: ``(words, depth)`` the inner nodes on the path, the root first.
        turns: ``(words, depth)`` 1 where the path turns left, 0 where it turns right.
        mask: ``(words, depth)`` 1 on the path, 0 at padding. A word without a count is not in the tree.
    """

    nodes: Tensor
    turns: Tensor
    mask: Tensor


def huffman_codes(counts: Sequence[int]) -> HuffmanCodes:
    """Returns the codes of a Huffman tree (Huffman 1952), in which frequent words have short paths.

    Args:
        counts: the number of occurrences of each word; 0 for words that are not in the tree.
    """
    heap: list[tuple[int, int]] = [(count, word) for word, count in enumerate(counts) if count]
    leaves, children = len(counts), {}
    heapq.heapify(heap)
    while len(heap) > 1:
        (first, left), (second, right) = heapq.heappop(heap), heapq.heappop(heap)
        node = leaves + len(children)
        children[node] = left, right
        heapq.heappush(heap, (first + second, node))
    paths: dict[int, list[tuple[int, int]]] = {heap[0][1]: []} if heap else {}
    for node in reversed(children):  # From the root, which was added last.
        for child, turn in zip(children[node], (1, 0), strict=True):
            paths[child] = [*paths[node], (node - leaves, turn)]
    depth = max((len(path) for word, path in paths.items() if word < leaves), default=0)
    codes = torch.zeros(3, leaves, depth, dtype=torch.long)
    for word in range(leaves):
        for step, (node, turn) in enumerate(paths.get(word, ())):
            codes[:, word, step] = torch.tensor((node, turn, 1))
    return HuffmanCodes(codes[0], codes[1].float(), codes[2].float())
