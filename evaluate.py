"""Evaluates a trained model: `python evaluate.py run=logs/train/runs/…`."""

import hydra
from omegaconf import DictConfig

from primer import cli


@hydra.main(config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> float | list[float] | None:
    return cli.job(cfg, "primer.run.evaluate")


if __name__ == "__main__":
    cli.run(main, "evaluate")
