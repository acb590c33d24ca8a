"""Principal component analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.errors import InputError
from primer.models.base import Stage, Step
from primer.models.classical.arrays import precise, to_buffer
from primer.models.classical.unsupervised import Unsupervised
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.reports.classical import draw_components, draw_scree
from primer.spec import Image, Spec, Values

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PCA(Unsupervised):
    """Principal component analysis (Pearson 1901; Hotelling 1933): the orthogonal directions of the largest variance.
    Outputs, and predictions, are the coordinates of a sample along them. The loss is the mean squared error of the
    reconstruction per feature; ``explained_variance`` is the fraction of the variance that the reconstruction keeps,
    relative to that around the mean of the training part.

    Args:
        spec: description of the data set.
        components: number of components.
        objective: loss and metrics.

    Raises:
        InputError: if there are more components than features or training samples.
    """

    fitted = ("variances",)
    logged_metrics = ("val/explained_variance", "test/explained_variance")
    mean: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, spec: Spec, components: int = 2, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        check_sizes(components=components)
        if components > self.features:
            raise InputError(f"model.components={components}: the inputs have only {self.features} features")
        self.register_buffer("mean", torch.zeros(self.features))
        self.register_buffer("components", torch.zeros(components, self.features))
        self.register_buffer("variances", torch.zeros(0))

    @property
    def predicted(self) -> Spec:
        names = tuple(f"component_{k + 1}" for k in range(len(self.components)))
        return Spec(self.spec.input, Values(names))

    def fit_points(self, points: Tensor) -> None:
        count = len(self.components)
        if len(points) < count:
            raise InputError(f"model.components={count}: the training part has only {len(points)} samples")
        points = precise(points)
        mean = points.mean(0)
        # The triangular factor has the same singular values and directions, and few rows.
        triangular = torch.linalg.qr(points - mean, mode="r").R
        _, singular_values, directions = torch.linalg.svd(triangular, full_matrices=False)
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        directions = directions * largest.sign()  # The sign of a direction is arbitrary: its largest entry is positive.
        self.mean.copy_(mean)
        self.components.copy_(directions[:count])
        self.variances = to_buffer(singular_values.square() / max(1, len(points) - 1), points)

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch components"]:  # type: ignore[override]
        return (precise(inputs.flatten(1) - self.mean) @ precise(self.components).T).float()

    def reconstruct(self, outputs: Tensor) -> Tensor:
        """Returns the standardized inputs, ``(batch, features)``, that are nearest to given outputs."""
        return outputs @ self.components + self.mean

    def step(self, batch: Batch) -> Step:
        outputs = self(batch.inputs)
        points = batch.inputs.flatten(1)
        self.add_score((points - self.mean).square().mean(1).sum(), batch.size)
        return Step((self.reconstruct(outputs) - points).square().mean(), batch.size, outputs)

    def _finish_stage(self, stage: Stage) -> None:
        loss, variance = self.evaluation.mean_loss(stage, self.trainer.strategy), self.mean_score()
        if loss is not None and variance is not None:
            self.log(f"{stage}/explained_variance", 1 - loss / variance.clamp(min=1e-30))
        super()._finish_stage(stage)

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        pictures = {"scree": lambda: draw_scree(self.variances, len(self.components))}
        if isinstance(self.spec.input, Image):
            kind = self.spec.input
            shape = kind.channels, kind.height, kind.width
            pictures["components"] = lambda: draw_components(self.components.unflatten(1, shape))
        return pictures
