"""Data augmentation: label-preserving transforms of whole training batches on their device, with independent random
parameters for each sample."""

from primer.regularization.augmentation.audio import BackgroundNoise, SpecAugment, Speed, TimeShift
from primer.regularization.augmentation.base import Augmentation
from primer.regularization.augmentation.color import ColorJitter
from primer.regularization.augmentation.erasing import Cutout
from primer.regularization.augmentation.geometry import Flip, Rotate, Shift
from primer.regularization.augmentation.mixing import Cutmix, Mixup
from primer.regularization.augmentation.noise import Noise
from primer.regularization.augmentation.word_dropout import WordDropout

__all__ = [
    "Augmentation",
    "BackgroundNoise",
    "ColorJitter",
    "Cutmix",
    "Cutout",
    "Flip",
    "Mixup",
    "Noise",
    "Rotate",
    "Shift",
    "SpecAugment",
    "Speed",
    "TimeShift",
    "WordDropout",
]
