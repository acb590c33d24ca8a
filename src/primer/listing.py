"""The table of models and data that fit each other."""

from __future__ import annotations

from primer.choices import fits, groups, target_of, types_of


def pairs() -> list[tuple[str, str]]:
    """Every model with every data set that it takes, by their choices."""
    known = groups()
    return [
        (model, data)
        for model in known["model"]
        for data in known["data"]
        if fits(target_of("model", model), target_of("data", data))
    ]


def table() -> str:
    """A row a data set, a column a model, and a mark where they fit."""
    known, fitting = groups(), set(pairs())
    models = known["model"]
    widths = [max(len(model), 3) for model in models]
    wide = max(len(data) for data in known["data"])
    lines = [" " * wide + "  " + "  ".join(f"{model:{w}}" for model, w in zip(models, widths, strict=True))]
    for data in known["data"]:
        marks = ("x" if (model, data) in fitting else "." for model in models)
        target = target_of("data", data)
        kinds = "|".join(types_of(target, "inputs")) + " to " + "|".join(types_of(target, "targets"))
        lines.append(
            f"{data:{wide}}  " + "  ".join(f"{mark:{w}}" for mark, w in zip(marks, widths, strict=True)) + f"  {kinds}"
        )
    return "\n".join(lines)
