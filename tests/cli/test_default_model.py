"""Data alone chooses a model that fits, unless something else chooses the model."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from helpers.errors import refusal
from hydra._internal import config_loader_impl, defaults_list
from omegaconf import OmegaConf

from primer.cli import default_model
from primer.cli.checks import check_config
from primer.cli.choices import groups, is_compatible, target_of
from primer.cli.composition import compose_checked


def model_of(*overrides: str) -> str:
    return compose_checked("train", list(overrides)).hydra.runtime.choices.model


@pytest.mark.parametrize("data", groups()["data"])
def test_every_data_set_alone_has_a_model_that_fits(data: str) -> None:
    config = compose_checked("train", [f"data={data}"])
    choices = config.hydra.runtime.choices
    assert choices.data == data
    assert is_compatible(target_of("model", choices.model), target_of("data", data))
    for key in config.data:
        if OmegaConf.is_missing(config.data, key):  # A path that the user must set.
            config.data[key] = "some.file"
    check_config(config, "train")


def test_the_default_model_is_kept_where_it_fits() -> None:
    assert model_of() == model_of("data=iris") == "mlp"
    assert model_of("data=co2") == "lstm"
    assert model_of("data=dates") == "seq2seq"


def test_settings_of_the_chosen_model_are_accepted() -> None:
    config = compose_checked("train", ["data=co2", "model.hidden_size=7"])
    assert config.model.hidden_size == 7
    assert OmegaConf.to_container(config.hydra.overrides.task) == ["data=co2", "model.hidden_size=7"]


def test_what_is_typed_and_an_experiment_win() -> None:
    assert model_of("data=co2", "model=gru") == "gru"
    assert model_of("data=adding_problem", "experiment=vanishing_gradient") == "rnn"
    assert model_of("model=lstm") == "lstm"
    assert "does not fit data=co2" in refusal("data=co2", "experiment=mnist_mlp")


def test_a_model_that_does_not_fit_names_models_and_data_that_do() -> None:
    message = refusal("model=mlp", "data=co2")
    models = [one for one in groups()["model"] if is_compatible(target_of("model", one), target_of("data", "co2"))]
    data = [one for one in groups()["data"] if is_compatible(target_of("model", "mlp"), target_of("data", one))]
    assert "lstm" in models
    assert f"; models for co2: {', '.join(models)}; compatible data: {', '.join(data)}" in message


def test_each_job_of_a_sweep_has_a_model_that_fits(run_in_process) -> None:
    result = run_in_process("train.py", "-m", "data=co2,iris", "debug=fast", "logger=none", "callbacks=none")
    assert result.status == 0, result.err
    folders = [Path(line.removeprefix("run: ")) for line in result.out.splitlines() if line.startswith("run: ")]
    models = [OmegaConf.load(folder / "config.yaml").model._target_.split(".")[-1] for folder in folders]
    assert models == ["LSTM", "MLP"]


def test_hydra_still_has_the_function_that_is_wrapped() -> None:
    default_model.install()
    assert vars(config_loader_impl)["create_defaults_list"] is default_model.choose_model
    assert "create_defaults_list(" in inspect.getsource(config_loader_impl.ConfigLoaderImpl._load_configuration_impl)
    assert {"overrides_list", "config_name"} <= inspect.signature(defaults_list.create_defaults_list).parameters.keys()
