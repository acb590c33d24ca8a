"""The test of a checkpoint, from the checkpoint alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig, OmegaConf

from primer.checkpoints import reading
from primer.config.instantiate import instantiate
from primer.data.base import DataModule
from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_sizes
from primer.records import run_folder
from primer.records.console import show_table
from primer.regularization import Regularization
from primer.run.accelerators import check_accelerator
from primer.run.training import build_data, redirect_library_logs, seed_everything, show_results, write_report
from primer.spec import Image, NextToken


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Measures a trained model on a part of the data that its own config names.

    Args:
        cfg: the composed config of ``configs/evaluate.yaml``: ``run`` or ``ckpt`` says which model.

    Returns:
        The metrics, ``test/…`` for every part.

    Raises:
        InputError: where there is no such checkpoint, it cannot be loaded safely, or the data are others by now.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    if (config["run"] is None) == (config["ckpt"] is None):
        raise InputError("evaluate needs either run=DIR, a run folder, or ckpt=FILE, a checkpoint")
    folder = Path(config["paths"]["output_dir"])
    redirect_library_logs()
    check_accelerator(config["accelerator"])
    file = reading.find(config["run"] or config["ckpt"])
    content = reading.read(file)
    model = reading.model_from(content)
    if not model.config:
        raise InputError(f"{file} was not written by train.py: it holds no config to find its data by")
    if config["beam_size"] is not None:
        set_beam_size(model, config["beam_size"])
    callbacks = build_callbacks(config, model)
    seed_everything(model.config["seed"])
    data = {**model.config["data"], "data_dir": config["paths"]["data_dir"]}
    # A model of augmented views is judged by views, too.
    regularization = instantiate(model.config["regularization"], Regularization) if model.views > 1 else None
    datamodule = build_data({"data": data}, regularization)
    if isinstance(model.spec.input, Image) and isinstance(datamodule.spec.input, Image):
        assert isinstance(datamodule, DataModule)
        # As in training, where trained weights may have asked for another format.
        datamodule.set_image_format(model.spec.input)
    reading.check_data(str(file), model.spec, datamodule.spec)
    if not datamodule.sizes().get(config["part"]):
        raise InputError(f"part={config['part']}: the data of this run has no such part")
    trainer = L.Trainer(
        **config["accelerator"], callbacks=callbacks, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, use_distributed_sampler=False, default_root_dir=folder,
    )  # fmt: skip
    show_table("primer", {"checkpoint": str(file), "model": type(model).__name__, "part": config["part"]})
    datamodule.test_part = config["part"]
    trainer.test(model, datamodule=datamodule, verbose=False)
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        run_folder.write_provenance(folder, config, [])
        run_folder.write_metrics(folder, metrics)
        write_report(model, folder)
        show_results(metrics)
    return metrics


def set_beam_size(model: Model, beam_size: int) -> None:
    """Makes a model decode with another beam than in its training.

    Raises:
        InputError: where the model has none, or the size is under 1.
    """
    if not hasattr(model, "beam_size"):
        raise InputError(f"beam_size={beam_size}: {type(model).__name__} writes no sequences, so it has no beam")
    check_sizes(beam_size=beam_size)
    model.beam_size = beam_size  # type: ignore[assignment]


def build_callbacks(config: dict[str, Any], model: Model) -> list[L.Callback]:
    """What samples from a model of the next token.

    Raises:
        InputError: where the model is none and there is a prompt.
    """
    if config["samples"] is None:
        return []
    if config["samples"]["prompt"] is not None and not isinstance(model.spec.target, NextToken):
        raise InputError(
            f"samples.prompt: {type(model).__name__} was trained for no next token, so it continues nothing"
        )
    return [instantiate(config["samples"], L.Callback)]
