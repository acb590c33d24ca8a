"""Regularization: the settings of a run, and data augmentation."""

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
