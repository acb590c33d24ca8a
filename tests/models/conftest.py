"""Fixtures shared by the tests of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning import seed_everything
from torch import Tensor

from primer.batch import Batch
from primer.checkpoints import weights
from primer.models.base import Model
from primer.spec import Classes, Image, Spec

IMAGENET = Spec(Image(3, 224, 224), Classes(tuple(f"class {number}" for number in range(1000))))


@pytest.fixture
def parameter_counts() -> Callable[..., tuple[int, int]]:
    """Returns a function that counts the parameters of a model for ImageNet and of its counterpart in torchvision."""
    import torchvision

    def count(kind: type[Model], **settings: Any) -> tuple[int, int]:
        with torch.device("meta"):
            ours = kind(IMAGENET, **settings)
            theirs = torchvision.models.get_model(str(kind.torchvision_name(**settings)))
        return sum(p.numel() for p in ours.parameters()), sum(p.numel() for p in theirs.parameters())

    return count


@pytest.fixture
def outputs_and_torchvision_outputs() -> Callable[..., tuple[Tensor, Tensor]]:
    """Returns a function that computes the outputs of a model and of its counterpart in torchvision, with the same
    weights."""
    import torchvision

    def outputs(kind: type[Model], **settings: Any) -> tuple[Tensor, Tensor]:
        seed_everything(0, verbose=False)
        theirs = torchvision.models.get_model(str(kind.torchvision_name(**settings))).eval()
        for name, buffer in theirs.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        ours = kind(IMAGENET, **settings).eval()
        weights.copy_into(ours, weights.Weights("torchvision", weights.rename_parameters(theirs.state_dict(), kind)))
        images = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            return ours(images), theirs(images)

    return outputs


@pytest.fixture
def overfit_accuracy(quiet_trainer: Callable[..., Any]) -> Callable[..., float]:
    """Returns a function that trains a model on one batch of 10 images and returns its accuracy on that batch."""

    def accuracy(model: Model, steps: int = 30, lr: float = 1e-3) -> float:
        image = model.spec.input
        assert isinstance(image, Image)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(10, image.channels, image.height, image.width, generator=generator)
        batch = Batch(images, torch.arange(10))
        model.optimizer = lambda parameters, **more: torch.optim.Adam(parameters, lr=lr)
        trainer = quiet_trainer(max_steps=steps, limit_val_batches=0)
        trainer.fit(model, torch.utils.data.DataLoader([batch] * steps, batch_size=None))
        model.eval()
        with torch.no_grad():
            return (model.predict_batch(batch) == batch.targets).float().mean().item()

    return accuracy
