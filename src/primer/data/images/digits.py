"""Handwritten digits included in scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.spec import Classes, Image, Spec


class Digits(DataModule):
    """1,797 grayscale images of 8x8 pixels with values from 0 to 16, in ten classes (Alpaydin and Kaynak 1998)."""

    inputs = Image
    targets = Classes

    def read(self) -> dict[Part, Records]:
        images, labels = load_digits(return_X_y=True)
        images = torch.from_numpy(np.asarray(images, dtype=np.float32)).view(-1, 1, 8, 8) / 16
        return {"train": Batch(images, torch.from_numpy(np.asarray(labels, dtype=np.int64)))}

    def labels(self, records: Any) -> np.ndarray:
        return records.targets.numpy()

    def fit_spec(self, train: Any) -> Spec:
        mean, std = moments(train.inputs)
        return Spec(Image(1, 8, 8, mean, std, maximum=16.0), Classes(tuple("0123456789")))

    def encode(self, records: Any) -> Batch:
        return records
