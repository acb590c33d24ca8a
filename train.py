"""Trains a model: `python train.py model=lstm optimizer=adam`. `python train.py --help` lists all options."""

import hydra
from omegaconf import DictConfig

from primer import cli


@hydra.main(config_path="configs", config_name="train")
def main(cfg: DictConfig) -> float | list[float] | None:
    return cli.job(cfg, "primer.run.train")


if __name__ == "__main__":
    cli.run(main, "train")
