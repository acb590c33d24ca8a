"""Predicts for a file or a folder: `python predict.py run=logs/train/runs/… input=FILE output=predictions.csv`."""

import hydra
from omegaconf import DictConfig

from primer import cli


@hydra.main(config_path="configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    cli.call(cfg, "primer.run.predict")


if __name__ == "__main__":
    cli.run(main, "predict")
