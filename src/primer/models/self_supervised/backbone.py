"""Base class of models that pre-train the layers of another model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from primer.batch import Batch
from primer.errors import InputError, closest
from primer.models.base import Model, Step
from primer.models.convolutional.alexnet import AlexNet
from primer.models.convolutional.lenet import LeNet
from primer.models.convolutional.mobilenet_v2 import MobileNetV2
from primer.models.convolutional.resnet import ResNet
from primer.models.convolutional.vgg import VGG
from primer.models.feedforward.mlp import MLP
from primer.models.transformers.vit import ViT
from primer.objectives import Objective
from primer.spec import Classes, Image, NoTarget, Spec

BACKBONES: dict[str, type[Model]] = {
    "mlp": MLP,
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg": VGG,
    "resnet": ResNet,
    "mobilenet_v2": MobileNetV2,
    "vit": ViT,
}
"""The models of images that can be pre-trained. Each has a last layer called ``head``."""


class Pretraining(Model):
    """A model that learns the layers of another model, its backbone, without labels. ``weights=RUN`` starts that model
    from them, with a new last layer.

    If the data has classes, a linear classifier of the features is trained beside it, which the features do not learn
    from: its accuracy, ``probe_accuracy``, tells more of the features than the loss does. It is logged in validation
    and test.

    Args:
        spec: description of the data set.
        backbone: one of ``BACKBONES``.
        backbone_settings: its arguments, such as ``{layers: [3, 3, 3], width: 16}``; those left out have their
            defaults.
        objective: the loss of the model itself.

    Attributes:
        features: size of the features: the inputs of the backbone's last layer.

    Raises:
        InputError: if the backbone is unknown or does not accept an argument.
    """

    inputs = Image
    targets = NoTarget
    logged_metrics = ("val/probe_accuracy", "test/probe_accuracy")

    def __init__(
        self,
        spec: Spec,
        backbone: str = "lenet",
        backbone_settings: Mapping[str, Any] | None = None,
        objective: Objective | None = None,
    ) -> None:
        super().__init__(spec, objective)
        if backbone not in BACKBONES:
            near = closest(backbone, list(BACKBONES))
            hint = f"; did you mean {near}?" if near else ""
            raise InputError(f"backbone must be one of {', '.join(BACKBONES)}, not {backbone!r}{hint}")
        classes = spec.target if isinstance(spec.target, Classes) else None
        try:
            # Any target will do: the last layer is removed.
            network = BACKBONES[backbone](Spec(spec.input, classes or Classes(("", ""))), **(backbone_settings or {}))
        except (TypeError, ValueError) as error:
            raise InputError(f"backbone_settings: {error}") from error
        head = network.head
        assert isinstance(head, nn.Linear)
        self.features = head.in_features
        network.head = nn.Identity()
        self.backbone = network
        self.probe = nn.Linear(self.features, len(classes.names)) if classes else None

    @classmethod
    def backbone_class(cls, backbone: str = "lenet", **_: Any) -> type[Model] | None:
        return BACKBONES.get(backbone)

    def encode(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """Returns the features of each standardized image."""
        return self.backbone(inputs)

    def forward(self, inputs: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:  # type: ignore[override]
        return self.encode(inputs)

    def with_probe(self, step: Step, features: Float[Tensor, "rows features"], batch: Batch) -> Step:
        """Adds the gradient of the linear classifier to a step, but not its loss."""
        if self.probe is None or batch.targets is None or batch.targets.is_floating_point():
            return step
        targets = batch.targets
        logits = self.probe(features.detach())
        stage = self.evaluation.stage
        if stage in ("val", "test"):
            accuracy = (logits.argmax(1) == targets).float().mean()
            self.log(f"{stage}/probe_accuracy", accuracy, batch_size=len(targets), on_step=False, on_epoch=True)
            return step
        loss = F.cross_entropy(logits, targets)
        return step._replace(loss=step.loss + loss - loss.detach())
