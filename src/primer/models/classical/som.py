"""The self-organizing map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from primer.batch import Batch
from primer.models.base import Stage, Step
from primer.models.classical.arrays import distances, precise
from primer.models.classical.unsupervised import Unsupervised, plane_of
from primer.models.layers.validation import check_positive, check_sizes
from primer.objectives import Objective
from primer.reports.classical import draw_u_matrix
from primer.spec import Classes, Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SOM(Unsupervised):
    """A self-organizing map (Kohonen 1982): units on a grid, each with a point in the space of the inputs, so that
    neighbors on the grid are near each other. It is fitted by the batch algorithm (Kohonen 1995): in each epoch, every
    unit moves to the mean of all samples, weighted by how near their best unit is on the grid, within a radius that
    shrinks. The grid starts in the plane of the first two principal components.

    Outputs are the negative distances to the units, ``(batch, units)``, row by row. The loss is the quantization error:
    the mean distance to the best unit. ``topographic_error`` is the fraction of samples whose best two units are not
    neighbors on the grid (Kiviluoto 1996), where diagonal units are neighbors, too.

    Args:
        spec: description of the data set.
        rows, columns: size of the grid.
        epochs: number of passes over the training part.
        radius: the standard deviation of the neighborhood on the grid at the start; None for half the longer side.
        final_radius: that at the end.
        objective: loss and metrics.

    Raises:
        InputError: if a setting is out of range.
    """

    logged_metrics = ("val/topographic_error", "test/topographic_error")
    units: Tensor
    grid: Tensor

    def __init__(
        self,
        spec: Spec,
        rows: int = 10,
        columns: int = 10,
        epochs: int = 50,
        radius: float | None = None,
        final_radius: float = 0.5,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        check_sizes(rows=rows, columns=columns, epochs=epochs)
        self.rows, self.columns, self.epochs = rows, columns, epochs
        self.radius = max(rows, columns) / 2 if radius is None else radius
        self.final_radius = final_radius
        check_positive(radius=self.radius, final_radius=final_radius)
        self.register_buffer("units", torch.zeros(rows * columns, self.features))
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).view(-1, 2)
        self.register_buffer("grid", grid.float(), persistent=False)

    @property
    def predicted(self) -> Spec:
        names = (f"row {k // self.columns + 1}, column {k % self.columns + 1}" for k in range(len(self.units)))
        return Spec(self.spec.input, Classes(tuple(names)))

    def fit_points(self, points: Tensor) -> None:
        points = precise(points)
        self.units.copy_(self._initial_units(points))
        apart = precise(torch.cdist(self.grid, self.grid).square())
        for epoch in range(self.epochs):
            decay = epoch / max(1, self.epochs - 1)
            radius = self.radius ** (1 - decay) * self.final_radius**decay
            best = distances(points, self.units).argmin(1)
            # The sum and the number of the samples of each unit, spread over its neighborhood.
            counts = torch.bincount(best, minlength=len(self.units)).to(points.dtype)
            sums = torch.zeros_like(self.units, dtype=points.dtype).index_add_(0, best, points)
            # Relative to the nearest unit that has samples, since far ones have weights too small for a number.
            weights = (-apart / (2 * radius**2)).masked_fill(counts == 0, -math.inf).softmax(1)
            self.units.copy_((weights @ sums) / (weights @ counts)[:, None])

    def _initial_units(self, points: Tensor) -> Tensor:
        """Returns a grid in the plane of the first two components, two standard deviations to each side."""
        mean, directions = points.mean(0), plane_of(points)
        scale = ((points - mean) @ directions.T).std(0, correction=0)
        sides = torch.tensor([self.rows, self.columns], device=points.device)
        position = precise(self.grid) / (sides - 1).clamp(min=1) * 4 - 2
        position = torch.where(sides > 1, position, 0.0)
        # The longer side of the grid is laid along the first component.
        order = [0, 1] if self.rows >= self.columns else [1, 0]
        return mean + (position[:, order] * scale) @ directions

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch units"]:  # type: ignore[override]
        return -distances(inputs.flatten(1), self.units).float()

    def predict_batch(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        return (self(batch.inputs) if outputs is None else outputs).argmax(1)

    def step(self, batch: Batch) -> Step:
        outputs = self(batch.inputs)
        if len(self.units) > 1:
            first, second = self.grid[outputs.topk(2).indices].unbind(1)
            self.add_score(((first - second).abs().amax(1) > 1).sum(), batch.size)
        return Step(-outputs.amax(1).mean(), batch.size, outputs)

    def _finish_stage(self, stage: Stage) -> None:
        error = self.mean_score()
        if error is not None:
            self.log(f"{stage}/topographic_error", error)
        super()._finish_stage(stage)

    def u_matrix(self) -> Tensor:
        """Returns the mean distance of each unit to the units beside, above and below it, ``(rows, columns)``."""
        apart, beside = distances(self.units, self.units), torch.cdist(self.grid, self.grid, p=1) == 1
        return ((apart * beside).sum(1) / beside.sum(1).clamp(min=1)).view(self.rows, self.columns)

    def pictures(self) -> dict[str, Callable[[], Figure]]:
        return {"u_matrix": lambda: draw_u_matrix(self.u_matrix())}
