"""Encodes texts and lists of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from primer.data.text.encoding import encode_tokens, spelling_table, split_text
from primer.errors import InputError
from primer.prediction.encoded import Encoded
from primer.spec import NextToken, Spec, Tokens


def encode_texts(spec: Spec, inputs: Any, longest: int | None = None) -> Encoded:
    """Encodes texts.

    Args:
        spec: the tokens that the model expects.
        inputs: a text, or a list of texts and of lists of tokens. Texts are split with the tokenizer of the data set.
        longest: the maximum number of tokens of a text; None if there is none.

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
        if not sequence:
            errors[k] = "the text is empty"
        elif longest is not None and min(len(sequence), kind.max_length or len(sequence)) > longest:
            errors[k] = f"the text has {len(sequence):,} tokens, and the model reads {longest:,} at most"
        else:
            tokens.append(sequence)
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
