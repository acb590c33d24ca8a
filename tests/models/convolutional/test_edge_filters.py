"""Fixed edge filters."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.convolutional.edge_filters import EdgeFilters
from primer.spec import Classes, Image, Spec

TEN = Classes(tuple("0123456789"))


def test_the_responses_are_those_of_scipy() -> None:
    image = torch.rand(1, 1, 9, 7)
    vertical, horizontal, *_, laplacian = EdgeFilters(Spec(Image(1, 9, 7), TEN)).edges(image)[0].numpy()
    for maps, expected in (
        (vertical, ndimage.sobel(image[0, 0].numpy(), axis=1, mode="nearest") / 4),
        (horizontal, ndimage.sobel(image[0, 0].numpy(), axis=0, mode="nearest") / 4),
        (laplacian, ndimage.laplace(image[0, 0].numpy(), mode="nearest")),
    ):
        np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_each_filter_responds_most_to_edges_of_its_direction() -> None:
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    images = [columns > 5, rows > 5, rows + columns > 11, columns - rows > 0]
    edges = EdgeFilters(Spec(Image(1, 12, 12), TEN)).edges(torch.stack(images).unsqueeze(1).float())
    strength = edges[:, :4, 2:-2, 2:-2].abs().amax((2, 3))
    assert strength.argmax(0).tolist() == [0, 1, 2, 3]
    assert strength[:2, :2].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 7, 5), (1, 1, 1)])
def test_any_image_size(channels: int, height: int, width: int) -> None:
    network = EdgeFilters(Spec(Image(channels, height, width), TEN))
    assert network(torch.rand(2, channels, height, width)).shape == (2, 10)
    uniform = torch.full((1, channels, height, width), 0.3)
    assert network.edges(uniform).abs().max() < 1e-6


def test_the_filters_are_not_parameters() -> None:
    network = EdgeFilters(Spec(Image(1, 8, 8), TEN))
    assert {name for name, _ in network.named_parameters()} == {"head.weight", "head.bias"}
    assert "edges.weight" not in network.state_dict()


def test_learns_digits_from_fixed_filters(quiet_trainer) -> None:
    torch.manual_seed(0)
    data = Digits(batch_size=64).prepare()
    model = EdgeFilters(data.spec)
    model.optimizer = partial(torch.optim.Adam, lr=0.01)
    kernels = model.edges.weight.clone()
    trainer = quiet_trainer(max_epochs=10)
    trainer.fit(model, datamodule=data)
    (metrics,) = trainer.test(model, datamodule=data, verbose=False)
    assert metrics["test/accuracy"] > 0.92  # 0.946; 0.1 by chance
    assert torch.equal(model.edges.weight, kernels)


def test_an_invalid_dropout_is_an_error() -> None:
    with pytest.raises(InputError, match="dropout"):
        EdgeFilters(Spec(Image(1, 8, 8), TEN), dropout=1.0)
