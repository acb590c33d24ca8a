"""Small tables of real measurements included in scikit-learn, so that no download is needed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from primer.batch import Batch
from primer.data.base import DataModule, Part, Records
from primer.data.loading.scaling import moments
from primer.spec import Classes, Spec, Values, Vector


class Table(DataModule):
    """Base class of the tables. All columns are numeric, and standardized with the statistics of the training part.

    Attributes:
        names: names of the classes in the order of their indices, or name of the regression target.
    """

    inputs = Vector
    names: tuple[str, ...]

    @abstractmethod
    def load(self) -> Any:
        """Returns the result of scikit-learn's loader, with ``data``, ``target`` and ``feature_names``."""

    def read(self) -> dict[Part, Records]:
        table = self.load()
        self.features = tuple(str(name) for name in table.feature_names)
        inputs = torch.from_numpy(np.asarray(table.data, dtype=np.float32))
        if self.targets is Classes:
            return {"train": Batch(inputs, torch.from_numpy(np.asarray(table.target, dtype=np.int64)))}
        return {"train": Batch(inputs, torch.from_numpy(np.asarray(table.target, dtype=np.float32))[:, None])}

    def labels(self, records: Any) -> np.ndarray | None:
        return records.targets.numpy() if self.targets is Classes else None

    def fit_spec(self, train: Any) -> Spec:
        target = Classes(self.names) if self.targets is Classes else Values(self.names, *moments(train.targets))
        return Spec(Vector(len(self.features), self.features, *moments(train.inputs)), target)

    def encode(self, records: Any) -> Batch:
        return records


class Iris(Table):
    """150 irises of three species by the length and width of sepal and petal, in cm.

    Fisher, "The use of multiple measurements in taxonomic problems", 1936.
    """

    targets = Classes
    names = ("setosa", "versicolor", "virginica")

    def load(self) -> Any:
        return load_iris()


class Wine(Table):
    """178 wines of three grape varieties from one region of Piedmont, by 13 chemical measurements.

    Forina et al., "Multivariate data analysis as a discriminating method of the origin of wines", 1986. scikit-learn
    only numbers the classes; the names are from the paper.
    """

    targets = Classes
    names = ("Barolo", "Grignolino", "Barbera")

    def load(self) -> Any:
        return load_wine()


class BreastCancer(Table):
    """569 tumors, malignant or benign, by 30 measurements of the cell nuclei in an image of a fine-needle aspirate.

    Street, Wolberg and Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993 (the Wisconsin
    diagnostic data set). Precision, recall and F1 refer to the second class, benign.
    """

    targets = Classes
    names = ("malignant", "benign")

    def load(self) -> Any:
        return load_breast_cancer()


class Diabetes(Table):
    """442 patients by age, sex, body mass index, blood pressure and six blood serum measurements, in original units.
    The target is a measure of disease progression after one year, from 25 to 346.

    Efron, Hastie, Johnstone and Tibshirani, "Least angle regression", 2004.
    """

    targets = Values
    names = ("disease_progression",)

    def load(self) -> Any:
        return load_diabetes(scaled=False)
