"""A run: train or evaluate, one readable function each."""

from primer.run.evaluation import evaluate
from primer.run.training import train

__all__ = ["evaluate", "train"]
