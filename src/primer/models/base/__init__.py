"""Base classes of all models: evaluation, optimization, and models without gradients."""

from primer.models.base.evaluation import Evaluation, Stage
from primer.models.base.gradient_free import GradientFree
from primer.models.base.model import Model
from primer.models.base.single_pass import SinglePass
from primer.models.base.step import Step

__all__ = ["Evaluation", "GradientFree", "Model", "SinglePass", "Stage", "Step"]
