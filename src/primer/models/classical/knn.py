"""The k-nearest-neighbors rule."""

from __future__ import annotations

import torch
from torch import Tensor

from primer.errors import InputError
from primer.models.classical.arrays import distances, precise
from primer.models.classical.supervised import Supervised, one_hot
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.spec import Spec


class KNN(Supervised):
    """k-nearest neighbors (Cover and Hart 1967): the classes among the nearest training samples, or the mean of their
    values. It keeps the whole training part.

    Args:
        spec: description of the data set.
        neighbors: number of neighbors, by Euclidean distance. Of equally frequent classes, the first one is predicted.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if there are fewer training samples than neighbors.
    """

    fitted = ("points", "answers")
    points: Tensor
    answers: Tensor

    def __init__(self, spec: Spec, neighbors: int = 5, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        check_sizes(neighbors=neighbors)
        self.neighbors = neighbors
        self.register_buffer("points", torch.zeros(0, self.features))
        answers = torch.zeros(0, dtype=torch.long) if self.is_classifier else torch.zeros(0, self.estimates)
        self.register_buffer("answers", answers)

    def fit_points(self, points: Tensor, targets: Tensor) -> None:
        if len(points) < self.neighbors:
            raise InputError(f"model.neighbors={self.neighbors}: the training part has only {len(points)} samples")
        self.points, self.answers = points.clone(), targets.clone()

    def estimate(self, points: Tensor) -> Tensor:
        nearest = distances(points, self.points).topk(self.neighbors, largest=False).indices
        answers = self.answers[nearest]
        votes = one_hot(answers, self.estimates) if self.is_classifier else answers
        return precise(votes).mean(1)
