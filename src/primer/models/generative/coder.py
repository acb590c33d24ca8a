"""Base class of models that encode samples and decode them again."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from primer.models.generative.sample_model import SampleModel
from primer.models.layers.coders import Architecture, build_decoder, build_encoder, resolve_architecture
from primer.models.layers.validation import check_sizes
from primer.objectives import Objective
from primer.spec import Image, Spec, Vector


class Coder(SampleModel):
    """A model with an encoder from samples to short codes, and a decoder from codes to samples.

    Args:
        spec: description of the data set.
        code_size: numbers in a code.
        encoded: numbers that the encoder computes for each sample.
        architecture: ``dense``, ``convolutional``, or ``auto``: convolutional for images, dense for vectors.
        hidden_sizes: units of the hidden layers of a dense encoder; the decoder has them in reverse order.
        channels: feature maps of the convolutions, each of which halves the image.
        objective: the loss of the model itself.

    Raises:
        InputError: if a size is less than 1, or the architecture does not fit the data.
    """

    def __init__(
        self,
        spec: Spec,
        code_size: int,
        encoded: int,
        architecture: Architecture,
        hidden_sizes: Sequence[int],
        channels: Sequence[int],
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        kind = spec.input
        assert isinstance(kind, Vector | Image)
        check_sizes(code_size=code_size)
        self.code_size = code_size
        layout = resolve_architecture(architecture, kind, channels)
        self.encoder = build_encoder(kind, encoded, layout, hidden_sizes, channels)
        self.decoder = build_decoder(kind, code_size, layout, hidden_sizes, channels)

    def encode(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch code"]:
        """Returns the code of each standardized sample."""
        return self.encoder(inputs)

    def decode(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch ..."]:
        """Returns the standardized sample of each code."""
        return self.activate(self.decoder(codes))

    def forward(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:  # type: ignore[override]
        """Reconstructs standardized samples."""
        return self.decode(self.encode(inputs))
