"""What happens beside the training."""

from primer.callbacks.finite import StopOnNaN
from primer.callbacks.progress import Progress

__all__ = ["Progress", "StopOnNaN"]
