"""Chooses a model that fits the data where the default model does not: ``python train.py data=co2``.

A model may choose its default data by an override in its defaults list, since ``model`` comes after ``data`` in that of
``train.yaml``. Hydra allows one of the two directions. The other one wraps the function that reads the defaults lists
of every config, including those of the jobs of a sweep; ``tests/cli/test_default_model.py`` checks that it exists.
"""

from __future__ import annotations

from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.defaults_list import DefaultsList, create_defaults_list
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from primer.cli.choices import groups, is_compatible, target_of

PREFERRED = ("mlp", "lstm", "seq2seq")
"""The models to try first, in this order; then all others, in alphabetical order."""


def install() -> None:
    """Makes Hydra choose a model that fits the data if neither an override nor an experiment chooses one."""
    config_loader_impl.create_defaults_list = choose_model  # pyright: ignore[reportPrivateImportUsage]


def choose_model(*, overrides_list: list[Override], **settings: Any) -> DefaultsList:
    """Reads the defaults lists of a config; and again, with another model, if its default model does not fit the data.

    Args:
        overrides_list: the parsed overrides.
        settings: the other arguments of Hydra's function.
    """
    defaults = create_defaults_list(overrides_list=overrides_list, **settings)
    chosen, choices = defaults.overrides.override_choices, defaults.overrides.known_choices
    model = None if "model" in chosen else fitting_model(choices.get("model"), choices.get("data"))
    if model is None:
        return defaults
    override = OverridesParser.create().parse_override(f"model={model}")
    return create_defaults_list(overrides_list=[*overrides_list, override], **settings)


def fitting_model(model: str | None, data: str | None) -> str | None:
    """Returns the model to use instead of ``model``; None if that fits the data, or if no model does."""
    model_target, data_target = target_of("model", str(model)), target_of("data", str(data))
    if model_target is None or data_target is None or is_compatible(model_target, data_target):
        return None
    candidates = dict.fromkeys([*PREFERRED, *groups()["model"]])
    return next((one for one in candidates if is_compatible(target_of("model", one), data_target)), None)
