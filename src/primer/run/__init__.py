"""Training, evaluation and prediction runs: one function each."""

from primer.run.evaluation import evaluate
from primer.run.prediction import predict
from primer.run.training import train

__all__ = ["evaluate", "predict", "train"]
