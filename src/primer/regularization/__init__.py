"""What keeps a model from learning its training data by heart, as a run sets it."""

from primer.regularization.augmentation import Augmentation, ColorJitter, Cutmix, Cutout, Flip, Mixup, Rotate, Shift
from primer.regularization.settings import EarlyStopping, Regularization

__all__ = [
    "Augmentation",
    "ColorJitter",
    "Cutmix",
    "Cutout",
    "EarlyStopping",
    "Flip",
    "Mixup",
    "Regularization",
    "Rotate",
    "Shift",
]
