"""A one-dimensional convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from primer.errors import InputError
from primer.models.base import Model
from primer.models.layers.validation import check_choice, check_layers, check_rate, check_sizes
from primer.objectives import Objective
from primer.spec import Classes, Series, Spec, Tags, Values


class CNN1d(Model):
    """The fully convolutional network of Wang, Yan and Oates (2017, "Time series classification from scratch with deep
    neural networks: a strong baseline"): convolutions over time with batch normalization and ReLU, the mean of each
    channel over time, and a linear layer. For tags, the linear layer is applied at each step instead.

    Padding never counts: it is set to 0 before each convolution, as the steps beyond the ends of a series are, and is
    left out of the statistics of the batch normalization and of the mean.

    Args:
        spec: description of the data set.
        channels: number of output channels of each convolution.
        kernel_sizes: number of steps of each kernel.
        pooling: how to reduce each channel to one number: its ``mean`` or ``max`` over time; unused for tags.
        dropout: dropout probability before the linear layer.
        objective: loss and metrics; by default chosen from the target type.

    Raises:
        InputError: if a number is less than 1, ``channels`` and ``kernel_sizes`` differ in length or are empty,
            ``pooling`` is unknown, or the dropout probability is outside [0, 1).
    """

    inputs = Series
    targets = Classes | Values | Tags

    def __init__(
        self,
        spec: Spec,
        channels: Sequence[int] = (128, 256, 128),
        kernel_sizes: Sequence[int] = (8, 5, 3),
        pooling: Literal["mean", "max"] = "mean",
        dropout: float = 0.0,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        assert isinstance(spec.input, Series)
        if len(channels) != len(kernel_sizes):
            raise InputError(
                f"channels has {len(channels)} entries, but kernel_sizes has {len(kernel_sizes)}: each convolution "
                "needs one of both"
            )
        check_layers(**{"the number of convolutions": len(channels)})
        check_sizes(**{f"channels[{k}]": size for k, size in enumerate(channels)})
        check_sizes(**{f"kernel_sizes[{k}]": size for k, size in enumerate(kernel_sizes)})
        check_rate("dropout", dropout)
        self.pooling = check_choice("pooling", pooling, ("mean", "max"))
        self.predicts_each_step = isinstance(spec.target, Tags)
        sizes = pairwise((spec.input.features, *channels))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding="same", bias=False)  # The normalization has a bias.
            for (before, after), kernel in zip(sizes, kernel_sizes, strict=True)
        )
        self.normalizations = nn.ModuleList(MaskedBatchNorm(size) for size in channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels[-1], self.outputs)

    def forward(  # type: ignore[override]
        self, inputs: Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch outputs"] | Float[Tensor, "batch time outputs"]:
        """Without ``lengths``, all steps are real."""
        x, real = inputs.transpose(1, 2), None
        if lengths is not None:
            steps = torch.arange(inputs.shape[1], device=lengths.device)
            # An empty series is read as one step of padding.
            real = (steps < lengths.clamp(min=1)[:, None])[:, None].to(inputs.device, non_blocking=True)
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            x = x if real is None else x.masked_fill(~real, 0)
            x = F.relu(normalization(convolution(x), real))
        x = x.transpose(1, 2) if self.predicts_each_step else self.pool(x, real)
        return self.head(self.dropout(x))

    def pool(
        self, x: Float[Tensor, "batch channels time"], real: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels"]:
        """Reduces each channel to one number, over the real steps."""
        x = x if real is None else x.masked_fill(~real, 0)
        if self.pooling == "max":  # After ReLU, no value is below those of the padding.
            return x.amax(2)
        total = x.sum(2, dtype=torch.float32)
        return (total / (x.shape[2] if real is None else real.sum(2))).to(x.dtype)

    def depth_groups(self) -> list[list[nn.Module]]:
        stages = [list(pair) for pair in zip(self.convolutions, self.normalizations, strict=True)]
        return [*stages, [self.head]]


class MaskedBatchNorm(_BatchNorm):
    """Batch normalization (Ioffe and Szegedy 2015) of series, with the mean and the variance of the real steps."""

    def forward(  # type: ignore[override]
        self, input: Float[Tensor, "batch channels time"], real: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        """Without ``real``, all steps are real."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        if not self.training:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        x = input.float()
        weight = x.new_ones(len(x), 1, x.shape[2]) if real is None else real.float()
        count = weight.sum()
        mean = (x * weight).sum((0, 2)) / count
        centered = x - mean[:, None]
        variance = (centered.square() * weight).sum((0, 2)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)  # The unbiased estimate.
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None] + self.bias[:, None]).to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Shapes are checked by the convolution before."""
