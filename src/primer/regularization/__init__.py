"""What keeps a model from learning its training data by heart, as a run sets it."""

from primer.regularization.augmentation import Augmentation, CropFlip, Flip, NoAugmentation
from primer.regularization.settings import EarlyStopping, Regularization

__all__ = ["Augmentation", "CropFlip", "EarlyStopping", "Flip", "NoAugmentation", "Regularization"]
