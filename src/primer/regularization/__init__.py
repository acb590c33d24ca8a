"""Regularization: the settings of a run, and data augmentation."""

from primer.regularization.augmentation import (
    Augmentation,
    BackgroundNoise,
    ColorJitter,
    Cutmix,
    Cutout,
    Flip,
    Mixup,
    Noise,
    Rotate,
    Shift,
    SpecAugment,
    Speed,
    TimeShift,
    WordDropout,
)
from primer.regularization.settings import EarlyStopping, Regularization

__all__ = [
    "Augmentation",
    "BackgroundNoise",
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
    "SpecAugment",
    "Speed",
    "TimeShift",
    "WordDropout",
]
