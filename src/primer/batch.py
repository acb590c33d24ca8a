"""The one shape in which all data travels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples side by side, the first dimension counting them. A whole data set in memory is one large batch.

    Attributes:
        inputs: ``(batch, channels, height, width)`` images, ``(batch, features)`` vectors, ``(batch, time, features)``
            series or ``(batch, time)`` tokens.
        targets: ``(batch,)`` classes, or ``(batch, classes)`` shares of them where images are mixed; ``(batch,
            values)`` values, ``(batch, time)`` tags or sequences; padding is ``primer.spec.IGNORE``. None where
            there is nothing to learn from.
        lengths: ``(batch,)`` the number of real steps of each padded input, always on the CPU; None for data that
            is not padded.
    """

    inputs: Tensor
    targets: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.inputs)

    def select(self, index: Tensor | slice, tagged: bool = False) -> Batch:
        """The samples at ``index``, without the steps that are padding in all of them.

        Args:
            index: ``(samples,)`` positions on the CPU, or a slice.
            tagged: whether targets have the same steps as inputs, so that both are cut to the same length.
        """
        here = index if isinstance(index, slice) or self.inputs.device == index.device else index.to(self.inputs.device)
        inputs = _rows(self.inputs, here)
        targets = None if self.targets is None else _rows(self.targets, here)
        if self.lengths is None:
            return Batch(inputs, targets)
        lengths = self.lengths[index]
        longest = int(lengths.max()) if len(lengths) else 0
        if tagged and targets is not None:
            targets = targets[:, :longest]
        return Batch(inputs[:, :longest], targets, lengths)

    def repeat(self, times: int) -> Batch:
        """All samples ``times`` times, one run of them after the other."""
        return Batch(*(None if tensor is None else torch.cat([tensor] * times) for tensor in self))  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Batch:
        """The same samples on ``device``; lengths stay on the CPU, where packing wants them."""
        if self.inputs.device == torch.device(device):
            return self
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        return Batch(self.inputs.to(device, non_blocking=True), targets, self.lengths)

    @property
    def nbytes(self) -> int:
        """The memory that the tensors take, in bytes."""
        return sum(tensor.nbytes for tensor in self if tensor is not None)


class Transition(NamedTuple):
    """One step of several environments side by side, from an observation through an action to the next one.

    Attributes:
        observations: ``(envs, *observation)``.
        actions: ``(envs,)`` integers.
        rewards: ``(envs,)``.
        next_observations: ``(envs, *observation)``; of an episode that has ended, its last observation.
        terminated: ``(envs,)`` whether the episode has ended for good, so that nothing follows. One that was only cut
            short by a limit of steps is not terminated: its last observation still has a value.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor

    @property
    def size(self) -> int:
        """The number of environments."""
        return len(self.actions)


class Episodes(NamedTuple):
    """Whole episodes.

    Attributes:
        returns: ``(episodes,)`` the sum of the rewards of each.
        lengths: ``(episodes,)`` the number of steps of each.
    """

    returns: Tensor
    lengths: Tensor

    @property
    def size(self) -> int:
        """The number of episodes."""
        return len(self.returns)


def _rows(tensor: Tensor, index: Tensor | slice) -> Tensor:
    # index_select copies whole rows: several times as fast as indexing.
    return tensor[index] if isinstance(index, slice) else tensor.index_select(0, index)
