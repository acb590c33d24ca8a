"""Base classes of all models: evaluation, optimization, and models fitted in a single pass."""

from primer.models.base.evaluation import Evaluation, Stage
from primer.models.base.model import Model
from primer.models.base.single_pass import SinglePass
from primer.models.base.step import Step

__all__ = ["Evaluation", "Model", "SinglePass", "Stage", "Step"]
