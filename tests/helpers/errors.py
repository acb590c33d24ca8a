"""How a mistake on the command line is told."""

from __future__ import annotations

import pytest

from primer.cli.checks import check_command
from primer.errors import InputError


def refusal(*overrides: str, name: str = "train", multirun: bool = False) -> str:
    """The one line that a command says of a mistake."""
    with pytest.raises(InputError) as caught:
        check_command(name, list(overrides), multirun)
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message
