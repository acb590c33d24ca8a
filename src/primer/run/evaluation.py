"""Evaluates a checkpoint. Needs nothing but the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig, OmegaConf

from primer.callbacks import Baseline
from primer.checkpoints import reading
from primer.checkpoints.embeddings import adopted_vocabulary
from primer.config.instantiate import instantiate
from primer.config.ranges import check_ranges
from primer.data.base import DataModule
from primer.data.source import DataSource
from primer.data.text.token_stream import TokenStream
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_sizes
from primer.records import run_folder
from primer.records.console import show_table
from primer.records.library_logs import redirect_library_logs
from primer.records.ownership import owns_folder
from primer.regularization import Regularization
from primer.run.accelerators import check_accelerator
from primer.run.building import build_data, seed_everything
from primer.run.results import baseline_description, show_results, write_report
from primer.spec import Image, NextToken


@owns_folder
def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Evaluates a trained model on a part of the data that its config names.

    Args:
        cfg: composed config of ``configs/evaluate.yaml``; ``run`` or ``ckpt`` selects the model.

    Returns:
        The metrics, named ``test/…`` for any part.

    Raises:
        InputError: if the checkpoint does not exist or cannot be loaded safely, or if the data has changed.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    check_ranges(config)
    if (config["run"] is None) == (config["ckpt"] is None):
        raise InputError("evaluate requires either run=DIR, a run folder, or ckpt=FILE, a checkpoint")
    folder = Path(config["paths"]["output_dir"])
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    file = reading.find_checkpoint(config["run"] or config["ckpt"])
    content = reading.read_checkpoint(file)
    model = reading.model_from_checkpoint(content)
    if not model.config:
        raise InputError(f"{file} was not written by train.py: it does not contain the config of its data")
    if config["beam_size"] is not None:
        set_beam_size(model, config["beam_size"])
    callbacks = [Baseline(), *build_callbacks(config)]
    seed_everything(model.config["seed"])
    data = {**model.config["data"], "data_dir": config["paths"]["data_dir"]}
    # A model that is trained on augmented views is also evaluated on views.
    regularization = instantiate(model.config.get("regularization"), Regularization) if model.views > 1 else None
    known = adopted_vocabulary(model.config, model.spec)
    datamodule = build_data({"data": data}, regularization, known)
    if isinstance(datamodule, DataModule):
        datamodule.choose_input(type(model.spec.input))
    if isinstance(model.spec.input, Image) and isinstance(datamodule.spec.input, Image):
        assert isinstance(datamodule, DataModule)
        # As in training, where pretrained weights may have required another format.
        datamodule.set_image_format(model.spec.input)
    reading.check_data(str(file), model.spec, datamodule.spec)
    check_prompt(config, model, datamodule)
    if not datamodule.sizes().get(config["part"]):
        raise InputError(f"part={config['part']}: the data of this run does not have this part")
    trainer = L.Trainer(
        **config["accelerator"], callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False, default_root_dir=folder,
    )  # fmt: skip
    show_table("primer", {"checkpoint": str(file), "model": type(model).__name__, "part": config["part"]})
    datamodule.test_part = config["part"]
    trainer.test(model, datamodule=datamodule, verbose=False)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        run_folder.write_provenance(folder, config, [], raw=OmegaConf.to_yaml(cfg))
        run_folder.write_metrics(folder, metrics)
        write_report(model, folder)
        show_results(metrics, model, baseline_description(callbacks))
    return metrics


def set_beam_size(model: Model, beam_size: int) -> None:
    """Sets the beam size that a model decodes with.

    Raises:
        InputError: if the model does not use beam search, or the size is less than 1.
    """
    if not hasattr(model, "beam_size"):
        raise InputError(f"beam_size={beam_size}: {type(model).__name__} does not use beam search")
    check_sizes(beam_size=beam_size)
    model.beam_size = beam_size  # type: ignore[assignment]


def check_prompt(config: dict[str, Any], model: Model, data: DataSource) -> None:
    """Raises ``InputError`` if there is a prompt but the model is not a language model, or its data has no notation for
    a prompt, such as sessions."""
    if config["samples"] is None or config["samples"]["prompt"] is None:
        return
    if not isinstance(model.spec.target, NextToken) or not isinstance(data, TokenStream):
        name = f"{type(model).__name__} on {type(data).__name__}"
        raise InputError(f"samples.prompt: {name} is not a language model, so it cannot take a prompt")


def build_callbacks(config: dict[str, Any]) -> list[L.Callback]:
    """Builds the callbacks that write the predictions, sample from a model, and judge word vectors and generated
    images."""
    names = ("samples", "word_vectors", "generated_samples", "sample_quality", "predictions")
    return [instantiate(config[name], L.Callback) for name in names if config[name] is not None]
