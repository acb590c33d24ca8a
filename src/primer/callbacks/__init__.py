"""What happens beside the training."""

from primer.callbacks.checkpoint import Checkpoint
from primer.callbacks.finite import StopOnNaN
from primer.callbacks.progress import Progress

__all__ = ["Checkpoint", "Progress", "StopOnNaN"]
