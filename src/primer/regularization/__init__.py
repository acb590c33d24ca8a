"""What keeps a model from learning its training data by heart, as a run sets it."""

from primer.regularization.augmentation import (
    Augmentation,
    ColorJitter,
    Cutmix,
    Cutout,
    Flip,
    Mixup,
    Noise,
    Rotate,
    Shift,
    WordDropout,
)
from primer.regularization.settings import EarlyStopping, Regularization

__all__ = [
    "Augmentation",
    "ColorJitter",
    "Cutmix",
    "Cutout",
    "EarlyStopping",
    "Flip",
    "Mixup",
    "Noise",
    "Regularization",
    "Rotate",
    "Shift",
    "WordDropout",
]
