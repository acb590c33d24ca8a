"""Training and evaluation runs: one function each."""

from primer.run.evaluation import evaluate
from primer.run.training import train

__all__ = ["evaluate", "train"]
