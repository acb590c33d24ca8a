"""Support vector machines."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from primer.errors import InputError
from primer.models.classical.arrays import distances, precise, to_array, to_buffer
from primer.models.classical.supervised import Supervised
from primer.models.layers.validation import check_choice, check_not_negative, check_positive, check_sizes
from primer.objectives import Objective
from primer.spec import Spec

FOLDS = 5
"""The number of folds in which decision values for the calibration of probabilities are computed."""


class SVM(Supervised):
    r"""A support vector machine (Cortes and Vapnik 1995): the widest margin between two classes, in the space of a
    kernel, :math:`f(x) = \sum_i \alpha_i K(x_i, x) + b`. More classes are separated pair by pair, and vote. Values are
    predicted by support vector regression (Drucker et al. 1997).

    Probabilities are sigmoids of the decision values (Platt 1999), fitted to those of held-out folds, and the class
    with the highest one is predicted.

    Args:
        spec: description of the data set.
        kernel: ``linear``, :math:`x \cdot y`; ``rbf``, :math:`e^{-\gamma \|x - y\|^2}`; or ``poly``,
            :math:`(\gamma\, x \cdot y + c_0)^d`.
        c: weight of the samples within the margin or on the wrong side; lower regularizes more.
        gamma: the factor in the kernel; None for 1 / (features · variance of the inputs).
        degree: the exponent of ``poly``.
        coef0: the constant of ``poly``.
        epsilon: for values, errors that cost nothing, in standard deviations.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a setting is out of range or has no effect on the kernel, or all training samples are of one
            class.
    """

    fitted = ("vectors", "coefficients", "constants", "classes", "slopes", "shifts")
    vectors: Tensor
    coefficients: Tensor
    constants: Tensor
    factor: Tensor
    classes: Tensor
    slopes: Tensor
    shifts: Tensor

    def __init__(
        self,
        spec: Spec,
        kernel: Literal["linear", "rbf", "poly"] = "rbf",
        c: float = 1.0,
        gamma: float | None = None,
        degree: int = 3,
        coef0: float = 0.0,
        epsilon: float = 0.1,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_choice("kernel", kernel, ("linear", "rbf", "poly"))
        check_positive(c=c, gamma=1.0 if gamma is None else gamma)
        check_sizes(degree=degree)
        check_not_negative(epsilon=epsilon)
        if kernel == "linear" and gamma is not None:
            raise InputError(f"gamma={gamma} has no effect on kernel=linear: leave it out")
        if kernel != "poly" and coef0:
            raise InputError(f"coef0={coef0} has no effect on kernel={kernel}, but on poly: leave it out")
        self.kernel, self.c, self.gamma, self.degree = kernel, c, gamma, degree
        self.coef0, self.epsilon = coef0, epsilon
        self.register_buffer("vectors", torch.zeros(0, self.features))
        self.register_buffer("coefficients", torch.zeros(0, 0))
        self.register_buffer("factor", torch.ones(()))
        self.register_buffer("classes", torch.zeros(0, dtype=torch.long))
        for name in ("constants", "slopes", "shifts"):
            self.register_buffer(name, torch.zeros(0))

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        x = to_array(points)
        self.factor.fill_(self.gamma or 1 / max(self.features * x.var(), 1e-30))
        settings: dict[str, Any] = {"kernel": self.kernel, "C": self.c, "degree": self.degree, "coef0": self.coef0}
        settings["gamma"] = self.gamma or "scale"  # Of the samples of each fit, also in the folds of the calibration.
        if self.is_classifier:
            arrays = fit_classifier(x, targets.cpu().numpy(), settings)
        else:
            arrays = fit_regression(x, to_array(targets), settings | {"epsilon": self.epsilon})
        for name, array in arrays.items():
            setattr(self, name, to_buffer(array, points))

    def decision_values(self, points: Tensor) -> Tensor:
        """Returns the value of each pair of classes, positive for the second one, or of each target."""
        return self.kernel_values(points) @ precise(self.coefficients).T + precise(self.constants)

    def kernel_values(self, points: Tensor) -> Tensor:
        """Returns the similarity of points and support vectors."""
        if self.kernel == "rbf":
            return (-self.factor * distances(points, self.vectors).square()).exp()
        products = precise(points) @ precise(self.vectors).T
        return products if self.kernel == "linear" else (self.factor * products + self.coef0) ** self.degree

    def class_values(self, points: Tensor) -> Tensor:
        """Returns a value for each class that occurs in training: its votes, and the sum of its decision values, scaled
        to less than a vote. For two classes, a single value for the second one."""
        values, count = self.decision_values(points), len(self.classes)
        if count == 2:
            return values
        first, second = torch.triu_indices(count, count, offset=1, device=values.device)
        votes, sums = values.new_zeros(values.shape[0], count), values.new_zeros(values.shape[0], count)
        votes.index_add_(1, torch.cat([first, second]), torch.cat([values <= 0, values > 0], 1).to(values.dtype))
        sums.index_add_(1, torch.cat([first, second]), torch.cat([-values, values], 1))
        return votes + sums / (3 * (sums.abs() + 1))

    def estimate(self, points: Tensor) -> Tensor:
        if not self.is_classifier:
            return self.decision_values(points)
        sigmoids = (precise(self.slopes) * self.class_values(points) + precise(self.shifts)).sigmoid()
        if len(self.classes) == 2:
            sigmoids = torch.cat([1 - sigmoids, sigmoids], 1)
        sums = sigmoids.sum(1, keepdim=True)
        probabilities = torch.where(sums > 0, sigmoids / sums, 1 / len(self.classes))
        return probabilities.new_zeros(points.shape[0], self.estimates).index_copy_(1, self.classes, probabilities)


def fit_classifier(points: np.ndarray, targets: np.ndarray, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the buffers of a classifier."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.svm import SVC

    classes, counts = np.unique(targets, return_counts=True)
    if len(classes) < 2:
        raise InputError("SVM needs training samples of at least 2 classes, and all are of one class")
    everything = np.arange(len(points))
    smallest = int(counts.min())
    # A class with a single sample cannot be held out.
    folds: Any = StratifiedKFold(min(FOLDS, smallest)) if smallest > 1 else [(everything, everything)]
    calibrated: Any = CalibratedClassifierCV(SVC(**settings), method="sigmoid", ensemble=False, cv=folds)  # type: ignore[arg-type]
    (result,) = fit(calibrated, points, targets).calibrated_classifiers_
    machine, sigmoids = result.estimator, result.calibrators
    return {
        "vectors": machine.support_vectors_,
        "coefficients": pair_coefficients(machine.dual_coef_, machine.n_support_),
        # For more than two classes, scikit-learn's values are positive for the first class of a pair.
        "constants": machine.intercept_ if len(classes) == 2 else -machine.intercept_,
        "classes": classes,
        "slopes": -np.array([one.a_ for one in sigmoids]),
        "shifts": -np.array([one.b_ for one in sigmoids]),
    }


def pair_coefficients(dual: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the coefficients of all support vectors for each pair of classes, ``(pairs, vectors)``.

    Args:
        dual: ``(classes - 1, vectors)`` libsvm's layout: row ``k`` holds the coefficients for the pair with the
            ``k``-th of the other classes.
        counts: ``(classes,)`` the number of support vectors of each class, which are in the order of their classes.
    """
    if len(counts) == 2:
        return dual
    ends = np.cumsum(counts)
    rows = []
    for i in range(len(counts)):
        for j in range(i + 1, len(counts)):
            row, first, second = (
                np.zeros(dual.shape[1]),
                slice(ends[i] - counts[i], ends[i]),
                slice(ends[j] - counts[j], ends[j]),
            )
            row[first], row[second] = -dual[j - 1, first], -dual[i, second]
            rows.append(row)
    return np.stack(rows)


def fit(estimator: Any, points: np.ndarray, targets: np.ndarray) -> Any:
    """Fits an estimator of scikit-learn.

    Raises:
        InputError: if the kernel of the settings overflows.
    """
    try:
        return estimator.fit(points, targets)
    except ValueError as error:
        raise InputError(f"SVM: {error}; lower model.degree, model.gamma or model.c") from error


def fit_regression(points: np.ndarray, targets: np.ndarray, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the buffers of a regression, with the support vectors of each target after each other."""
    from sklearn.svm import SVR

    machines = [fit(SVR(**settings), points, column) for column in targets.T]
    coefficients = np.zeros((len(machines), sum(len(one.support_) for one in machines)))
    start = 0
    for row, machine in zip(coefficients, machines, strict=True):
        end = start + len(machine.support_)
        row[start:end], start = machine.dual_coef_[0], end
    return {
        "vectors": np.concatenate([one.support_vectors_ for one in machines]),
        "coefficients": coefficients,
        "constants": np.concatenate([one.intercept_ for one in machines]),
    }
