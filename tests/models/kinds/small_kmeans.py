"""A model that is fitted in a single pass, without gradients."""

import torch
from torch import Tensor

from primer.batch import Batch
from primer.models.base import SinglePass, Step
from primer.spec import Image, NoTarget, Vector


class KMeans(SinglePass):
    """k-means clustering (Lloyd 1982) with at most ``clusters`` clusters: empty ones are dropped."""

    inputs = Vector | Image
    targets = NoTarget
    fitted = ("centers",)
    centers: Tensor

    def __init__(self, spec, clusters: int = 10, iterations: int = 20, objective=None):
        super().__init__(spec, objective)
        self.clusters, self.iterations = clusters, iterations
        self.register_buffer("centers", torch.zeros(0, spec.input.size))

    def fit(self, train: Batch) -> None:
        points = train.inputs.flatten(1)
        self.centers = points[torch.randperm(len(points))[: self.clusters]]
        for _ in range(self.iterations):
            nearest = self(points)
            self.centers = torch.stack([points[nearest == k].mean(0) for k in nearest.unique().tolist()])

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.cdist(inputs.flatten(1), self.centers).argmin(1)

    def step(self, batch: Batch) -> Step:
        points = batch.inputs.flatten(1)
        return Step((points - self.centers[self(points)]).square().sum(1).mean(), batch.size)
