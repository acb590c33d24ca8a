"""Encodes texts and lists of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from primer.data.text.encoding import encode_tokens, spelling_table, split_text
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.spec import NextToken, Spec, Tokens


def encode_texts(spec: Spec, inputs: Any) -> Encoded:
    """Encodes texts.

    Args:
        spec: the tokens that the model expects.
        inputs: a text, or a list of texts and of lists of tokens. Texts are split with the tokenizer of the data set.

    Raises:
        InputError: if an input is neither, or a text cannot be split.
    """
    kind = spec.input
    assert isinstance(kind, Tokens)
    items = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(items, Iterable):
        raise InputError("the inputs must be texts or lists of tokens")
    errors: dict[int, str] = {}
    tokens: list[tuple[str, ...]] = []
    size = 0
    for k, item in enumerate(items):
        size += 1
        sequence = to_tokens(item, spec)
        if sequence:
            tokens.append(sequence)
        else:
            errors[k] = "the text is empty"
    spellings = spelling_table(kind)
    batch = encode_tokens(tokens, kind, spellings)
    return Encoded(batch, size, errors, tokens, spellings.unpack if spellings else None)


def to_tokens(item: Any, spec: Spec) -> tuple[str, ...]:
    """Returns the tokens of a text or of a list of tokens."""
    assert isinstance(spec.input, Tokens)
    if isinstance(item, str):
        # A text to be continued keeps the spaces at its end.
        return tuple(split_text(item if isinstance(spec.target, NextToken) else item.strip(), spec.input))
    if isinstance(item, list | tuple) and all(isinstance(token, str) for token in item):
        return tuple(item)
    raise InputError(f"{str(item)[:40]!r} is neither a text nor a list of tokens")
