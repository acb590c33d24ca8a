"""Continues a sequence: one token after the other, each chosen from what the model says of the next."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from primer.errors import InputError
from primer.spec import PADDING, UNKNOWN


@runtime_checkable
class StatefulLM(Protocol):
    """A model of the next token that can go on from where it stopped, such as ``Recurrent``."""

    training: bool

    def forward_with_state(
        self, inputs: Tensor, lengths: Tensor | None = None, state: Any = None
    ) -> tuple[Tensor, Any]: ...

    def train(self, mode: bool = True) -> Any: ...


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises ``ValueError`` for a setting of ``choose`` that is out of its range."""
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature must be at least 0, not {temperature}")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k must be at least 1, or null, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p must be above 0 and at most 1, or null, not {top_p}")


def probabilities(
    logits: Float[Tensor, "batch words"], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "batch words"]:
    """What ``choose`` draws from.

    Args:
        logits: of each token; minus infinity for one that must not be drawn.
        temperature: what the logits are divided by; 0 leaves the likeliest token alone.
        top_k: only so many likeliest tokens are drawn from (Fan, Lewis and Dauphin 2018).
        top_p: only the fewest likeliest tokens are drawn from that together are at least so probable, after
            ``temperature`` and ``top_k`` (Holtzman et al. 2020, section 3.1).

    Raises:
        ValueError: for a setting out of its range.
    """
    check_sampling(temperature, top_k, top_p)
    top_k = 1 if temperature == 0 else top_k
    ordered, tokens = logits.float().sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = -torch.inf
    shares = (ordered / (temperature or 1)).softmax(-1)
    if top_p is not None:
        before = shares.cumsum(-1) - shares
        shares = shares.masked_fill(before >= top_p, 0)
        shares = shares / shares.sum(-1, keepdim=True)
    return torch.zeros_like(shares).scatter(-1, tokens, shares)


def sample_token(
    logits: Float[Tensor, "batch words"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Int[Tensor, " batch"]:
    """A token for each row of logits, drawn from ``probabilities``.

    Args:
        logits, temperature, top_k, top_p: as there.
        generator: of the random numbers, on the CPU, so that every device draws the same.
    """
    shares = probabilities(logits, temperature, top_k, top_p).cpu()
    return torch.multinomial(shares, 1, generator=generator).squeeze(-1).to(logits.device)


@torch.no_grad()
def generate(
    model: StatefulLM,
    prompt: Int[Tensor, "batch time"],
    steps: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Int[Tensor, "batch steps"]:
    """The tokens that a model puts after a prompt, never padding and never unknown.

    The prompt is read once; then each token is read alone, from the state that was reached.

    Args:
        model: of the next token. What it has in hand of a test or a training is left as it is.
        prompt: at least one token each.
        steps: how many tokens are chosen.
        temperature, top_k, top_p, generator: as in ``choose``.

    Raises:
        ValueError: for an empty prompt, or a setting out of its range.
    """
    check_sampling(temperature, top_k, top_p)
    if not prompt.shape[1]:
        raise InputError("a prompt must have at least one token")
    training, chosen, state, latest = model.training, [], None, prompt
    model.train(False)
    try:
        for _ in range(steps):
            outputs, state = model.forward_with_state(latest, state=state)
            logits = outputs[:, -1].clone()
            logits[:, [PADDING, UNKNOWN]] = -torch.inf
            latest = sample_token(logits, temperature, top_k, top_p, generator)[:, None]
            chosen.append(latest)
    finally:
        model.train(training)
    return torch.cat(chosen, dim=1) if chosen else prompt[:, :0]
