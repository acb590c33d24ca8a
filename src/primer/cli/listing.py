"""The table of models and data that fit each other."""

from __future__ import annotations

from primer.cli.choices import groups, is_compatible, target_of, types_of


def pairs() -> list[tuple[str, str]]:
    """Every model with every data set that it takes, by their choices."""
    known = groups()
    return [
        (model, data)
        for model in known["model"]
        for data in known["data"]
        if is_compatible(target_of("model", model), target_of("data", data))
    ]


def families() -> dict[str, list[str]]:
    """The choices that make models of the same class, under the name of its file."""
    found: dict[str, list[str]] = {}
    for model in groups()["model"]:
        target = target_of("model", model)
        found.setdefault(target.split(".")[-2] if target else model, []).append(model)
    return found


def table() -> str:
    """A row a data set, a column a family of models, and a mark where they fit."""
    known, fitting, members = groups(), set(pairs()), families()
    models = list(members)
    widths = [max(len(model), 3) for model in models]
    wide = max(len(data) for data in known["data"])
    lines = [" " * wide + "  " + "  ".join(f"{model:{w}}" for model, w in zip(models, widths, strict=True))]
    for data in known["data"]:
        marks = ("x" if (members[model][0], data) in fitting else "." for model in models)
        target = target_of("data", data)
        kinds = "|".join(types_of(target, "inputs")) + " to " + "|".join(types_of(target, "targets"))
        lines.append(
            f"{data:{wide}}  " + "  ".join(f"{mark:{w}}" for mark, w in zip(marks, widths, strict=True)) + f"  {kinds}"
        )
    presets = [f"{family}: {', '.join(some)}" for family, some in members.items() if some != [family]]
    return "\n".join([*lines, "", *presets])
