"""What happens beside the training."""

from primer.callbacks.checkpoint import Checkpoint
from primer.callbacks.ema import EMA
from primer.callbacks.finite import StopOnNaN
from primer.callbacks.pictures import Pictures
from primer.callbacks.progress import Progress

__all__ = ["EMA", "Checkpoint", "Pictures", "Progress", "StopOnNaN"]
