"""Base class of models that reconstruct or generate samples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from primer.models.base import Model
from primer.objectives import Objective
from primer.spec import Image, NoTarget, Spec, Vector


class SampleModel(Model):
    """A model whose networks output samples. Labels are ignored.

    Images are output as intensities in [0, 1], by a sigmoid in the last layer; vectors as standardized values.

    Args:
        spec: description of the data set.
        objective: the loss of the model itself.
    """

    inputs = Vector | Image
    targets = NoTarget

    mean: Tensor
    std: Tensor

    def __init__(self, spec: Spec, objective: Objective | None = None) -> None:
        super().__init__(spec, objective)
        kind = spec.input
        scale = (kind.mean, kind.std) if isinstance(kind, Image) and kind.mean else ((0.0,), (1.0,))
        for name, values in zip(("mean", "std"), scale, strict=True):
            shape = (-1, 1, 1) if isinstance(kind, Image) else (-1,)
            self.register_buffer(name, torch.tensor(values).view(shape), persistent=False)

    def activate(self, outputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Returns the standardized samples that unbounded outputs of a network stand for."""
        return (outputs.sigmoid() - self.mean) / self.std if isinstance(self.spec.input, Image) else outputs

    def original(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Returns the intensities of standardized images; vectors stay standardized."""
        return inputs * self.std + self.mean
