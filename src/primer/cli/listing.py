"""The table of compatible models and data sets."""

from __future__ import annotations

from primer.cli.choices import groups, is_compatible, target_of, types_of


def compatible_pairs() -> list[tuple[str, str]]:
    """Returns all pairs of a model choice and a data choice that it accepts."""
    known = groups()
    return [
        (model, data)
        for model in known["model"]
        for data in known["data"]
        if is_compatible(target_of("model", model), target_of("data", data))
    ]


def model_families() -> dict[str, list[str]]:
    """Groups model choices by the file that defines their class: family name to choices."""
    families: dict[str, list[str]] = {}
    for model in groups()["model"]:
        target = target_of("model", model)
        families.setdefault(target.split(".")[-2] if target else model, []).append(model)
    return families


def compatibility_table() -> str:
    """Returns the table as text: a row per data set, a column per model family, and ``x`` where they are compatible."""
    known, compatible, families = groups(), set(compatible_pairs()), model_families()
    models = list(families)
    widths = [max(len(model), 3) for model in models]
    data_width = max(len(data) for data in known["data"])
    lines = [" " * data_width + "  " + "  ".join(f"{model:{w}}" for model, w in zip(models, widths, strict=True))]
    for data in known["data"]:
        marks = ("x" if (families[model][0], data) in compatible else "." for model in models)
        target = target_of("data", data)
        kinds = "|".join(types_of(target, "inputs")) + " to " + "|".join(types_of(target, "targets"))
        cells = "  ".join(f"{mark:{w}}" for mark, w in zip(marks, widths, strict=True))
        lines.append(f"{data:{data_width}}  {cells}  {kinds}")
    presets = [f"{family}: {', '.join(choices)}" for family, choices in families.items() if choices != [family]]
    return "\n".join([*lines, "", *presets])
