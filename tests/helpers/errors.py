"""Helpers for the tests of error messages."""

from __future__ import annotations

import pytest

from primer.cli.checks import check_command
from primer.errors import InputError


def refusal(*overrides: str, name: str = "train", multirun: bool = False) -> str:
    """Checks that a command is rejected and returns the message, which must be a single line."""
    with pytest.raises(InputError) as caught:
        check_command(name, list(overrides), multirun)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message
