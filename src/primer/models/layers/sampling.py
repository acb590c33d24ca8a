"""Autoregressive sampling from language models."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from primer.errors import InputError
from primer.spec import PADDING, UNKNOWN


@runtime_checkable
class StatefulLM(Protocol):
    """A language model that can continue from a previous state, such as ``Recurrent``."""

    training: bool

    def forward_with_state(
        self, inputs: Tensor, lengths: Tensor | None = None, state: Any = None
    ) -> tuple[Tensor, Any]: ...

    def train(self, mode: bool = True) -> Any: ...


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Checks the settings of ``probabilities``.

    Raises:
        InputError: if a setting is out of range.
    """
    if not 0 <= temperature < float("inf"):
        raise InputError(f"temperature must be at least 0, not {temperature}")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k must be at least 1, or null, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise InputError(f"top_p must be above 0 and at most 1, or null, not {top_p}")


def probabilities(
    logits: Float[Tensor, "batch words"], temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Float[Tensor, "batch words"]:
    """Computes the distribution that ``sample_token`` samples from.

    Args:
        logits: logits of each token; minus infinity excludes a token.
        temperature: divides the logits; 0 keeps only the most probable token.
        top_k: keep only the ``top_k`` most probable tokens (Fan, Lewis and Dauphin 2018).
        top_p: keep only the smallest set of most probable tokens whose total probability is at least ``top_p``, after
            ``temperature`` and ``top_k`` are applied (Holtzman et al. 2020, section 3.1).

    Raises:
        InputError: if a setting is out of range.
    """
    check_sampling(temperature, top_k, top_p)
    top_k = 1 if temperature == 0 else top_k
    ordered, tokens = logits.float().sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = -torch.inf
    probs = ((ordered - ordered[..., :1]) / (temperature or 1)).softmax(-1)
    if top_p is not None:
        preceding = probs.cumsum(-1) - probs
        probs = probs.masked_fill(preceding >= top_p, 0)
        probs = probs / probs.sum(-1, keepdim=True)
    return torch.zeros_like(probs).scatter(-1, tokens, probs)


def sample_token(
    logits: Float[Tensor, "batch words"],
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Int[Tensor, " batch"]:
    """Samples a token for each row of logits.

    Args:
        logits, temperature, top_k, top_p: see ``probabilities``.
        generator: random number generator on the CPU, so that samples do not depend on the device.
    """
    probs = probabilities(logits, temperature, top_k, top_p).cpu()
    return torch.multinomial(probs, 1, generator=generator).squeeze(-1).to(logits.device)


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
    """Generates the continuation of a prompt, without padding or unknown tokens.

    The prompt is read once. After that, each new token is read alone, starting from the previous state.

    Args:
        model: language model. Its training mode and the state that it carries between batches are preserved.
        prompt: at least one token per row.
        steps: number of tokens to generate.
        temperature, top_k, top_p, generator: see ``sample_token``.

    Raises:
        InputError: if the prompt is empty or a setting is out of range.
    """
    check_sampling(temperature, top_k, top_p)
    if not prompt.shape[1]:
        raise InputError("the prompt must have at least one token")
    training, generated, state, latest = model.training, [], None, prompt
    model.train(False)
    try:
        for _ in range(steps):
            outputs, state = model.forward_with_state(latest, state=state)
            logits = outputs[:, -1].clone()
            logits[:, [PADDING, UNKNOWN]] = -torch.inf
            latest = sample_token(logits, temperature, top_k, top_p, generator)[:, None]
            generated.append(latest)
    finally:
        model.train(training)
    return torch.cat(generated, dim=1) if generated else prompt[:, :0]
