"""The batch of samples that every data set yields and every model receives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """A batch of samples, stacked along the first dimension. A whole data set in memory is one large batch.

    Attributes:
        inputs: images ``(batch, channels, height, width)``, videos ``(batch, frames, channels, height, width)``,
            vectors ``(batch, features)``, series ``(batch, time, features)``, tokens ``(batch, time)``, or users and
            items ``(batch, 2)``.
        targets: classes ``(batch,)``, class probabilities ``(batch, classes)`` of mixed images, values ``(batch,
            values)``, or tags and sequences ``(batch, time)``, padded with ``primer.spec.IGNORE``. None for unlabeled
            data.
        lengths: ``(batch,)`` the number of steps of each input without padding, always on the CPU. None if inputs are
            not padded.
    """

    inputs: Tensor
    targets: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.inputs)

    def select(self, index: Tensor | slice, tagged: bool = False) -> Batch:
        """Returns the samples at ``index``, trimmed to the longest of them.

        Args:
            index: ``(samples,)`` indices on the CPU, or a slice.
            tagged: whether targets have one entry per input step, so that both are trimmed to the same length.
        """
        rows = index if isinstance(index, slice) or self.inputs.device == index.device else index.to(self.inputs.device)
        inputs = _select_rows(self.inputs, rows)
        targets = None if self.targets is None else _select_rows(self.targets, rows)
        if self.lengths is None:
            return Batch(inputs, targets)
        lengths = self.lengths[index]
        longest = int(lengths.max()) if len(lengths) else 0
        if tagged and targets is not None:
            targets = targets[:, :longest]
        return Batch(inputs[:, :longest], targets, lengths)

    def repeat(self, times: int) -> Batch:
        """Returns all samples repeated ``times`` times, one copy after another."""
        return Batch(*(None if tensor is None else torch.cat([tensor] * times) for tensor in self))  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Batch:
        """Returns the batch on ``device``. Lengths stay on the CPU, as ``pack_padded_sequence`` requires."""
        if self.inputs.device == torch.device(device):
            return self
        targets = None if self.targets is None else self.targets.to(device, non_blocking=True)
        return Batch(self.inputs.to(device, non_blocking=True), targets, self.lengths)

    @property
    def nbytes(self) -> int:
        """The memory used by all tensors, in bytes."""
        return sum(tensor.nbytes for tensor in self if tensor is not None)


class Transition(NamedTuple):
    """Steps of several environments side by side, each from an observation through an action to the next one. With
    ``steps`` of ``envs`` environments, there are ``transitions = steps * envs``, ordered by step.

    Attributes:
        observations: ``(transitions, *observation)``; indices of states ``(transitions,)`` if they are finite.
        actions: ``(transitions,)`` integers.
        rewards: ``(transitions,)``.
        next_observations: as ``observations``; of an episode that has ended, its last observation, never the first one
            of the next episode.
        terminated: ``(transitions,)`` whether the episode has ended for good, so that nothing follows. One that was
            only cut short by a limit of steps is not terminated: its last observation still has a value.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor

    @property
    def size(self) -> int:
        """The number of transitions."""
        return len(self.actions)

    def to(self, device: torch.device | str) -> Transition:
        """Returns the transitions on ``device``."""
        return Transition(*(tensor.to(device) for tensor in self))


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


class Pulls(NamedTuple):
    """One step of several bandits side by side.

    Attributes:
        arms: ``(runs,)`` the arm that was pulled.
        rewards: ``(runs,)``.
        regrets: ``(runs,)`` the difference between the mean reward of the best arm and that of the pulled one.
        optimal: ``(runs,)`` whether the pulled arm is the best one.
    """

    arms: Tensor
    rewards: Tensor
    regrets: Tensor
    optimal: Tensor

    @property
    def size(self) -> int:
        """The number of runs."""
        return len(self.arms)


class Dynamics(NamedTuple):
    """The dynamics of an environment with finite states: a Markov decision process, in double precision.

    Attributes:
        transitions: ``(states, actions, states)`` the probability that an action leads to a state and the episode
            continues there. They do not add up to 1 where the episode may terminate.
        rewards: ``(states, actions)`` the expected reward.
        start: ``(states,)`` the probability that an episode starts in a state.
    """

    transitions: Tensor
    rewards: Tensor
    start: Tensor

    def to(self, device: torch.device | str) -> Dynamics:
        """Returns the dynamics on ``device``."""
        return Dynamics(*(tensor.to(device) for tensor in self))


def _select_rows(tensor: Tensor, index: Tensor | slice) -> Tensor:
    # index_select copies whole rows, which is several times faster than indexing.
    return tensor[index] if isinstance(index, slice) else tensor.index_select(0, index)
