"""The list of compatible models and data sets."""

from __future__ import annotations

import shutil

from primer.cli.choices import groups, is_compatible, target_of, types_of
from primer.cli.help import wrap


def compatible_pairs() -> list[tuple[str, str]]:
    """Returns all pairs of a model choice and a data choice that it accepts."""
    known = groups()
    return [
        (model, data)
        for model in known["model"]
        for data in known["data"]
        if is_compatible(target_of("model", model), target_of("data", data))
    ]


def compatibility_list(width: int | None = None) -> str:
    """Returns, for each kind of data, the data sets of that kind and the models that accept them.

    Args:
        width: the line width in characters; defaults to the terminal width, at most 100.
    """
    width = width or min(100, shutil.get_terminal_size((80, 40)).columns)
    kinds: dict[str, list[str]] = {}
    for data in groups()["data"]:
        target = target_of("data", data)
        kind = " to ".join(" or ".join(types_of(target, side)) for side in ("inputs", "targets"))
        kinds.setdefault(kind, []).append(data)
    compatible, lines = set(compatible_pairs()), []
    for kind, names in sorted(kinds.items()):
        models = [model for model in groups()["model"] if (model, names[0]) in compatible]
        lines += [kind, *wrap(f"  data    {', '.join(names)}", 10, width)]
        lines += [*wrap(f"  models  {', '.join(models) or 'none'}", 10, width), ""]
    return "\n".join(lines[:-1])
