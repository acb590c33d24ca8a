"""LeNet-5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import Tensor, nn

from primer.data.images.digits import Digits
from primer.errors import InputError
from primer.models.convolutional.lenet import CONNECTIONS, INPUT_SIDE, LeNet, PartialConv2d
from primer.models.layers.image_size import pad_or_enlarge
from primer.spec import Classes, Image, Spec, Values

VARIANTS = ["classic", "modern"]
TEN = Classes(tuple("0123456789"))
PAPER_SHAPES = {
    "c1": (6, 28, 28),
    "s2": (6, 14, 14),
    "c3": (16, 10, 10),
    "s4": (16, 5, 5),
    "c5": (120,),
    "f6": (84,),
    "head": (10,),
}


TABLE = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)
"""Table I as printed: one row per feature map of S2, one column per feature map of C3."""


def output_shapes(model: LeNet, images: Tensor) -> dict[str, tuple[int, ...]]:
    """Returns the output shape of each layer for one image."""
    shapes = {}
    for name in PAPER_SHAPES:
        layer = getattr(model, name)
        layer.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    model(images)
    return shapes


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [8, 27, 28, 31, 32])
def test_output_shapes_match_the_paper(variant: Any, size: int) -> None:
    model = LeNet(Spec(Image(1, size, size), TEN), variant)
    assert output_shapes(model, torch.randn(2, 1, size, size)) == PAPER_SHAPES


def test_parameter_counts_of_the_classic_variant_match_the_paper() -> None:
    model = LeNet(Spec(Image(1, 28, 28), TEN), "classic")
    counts = {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in PAPER_SHAPES}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "head": 850}


def test_maps_of_c3_depend_only_on_the_maps_of_s2_in_the_table() -> None:
    layer, maps = PartialConv2d(CONNECTIONS, 5), torch.randn(1, 6, 14, 14)
    before = layer(maps)
    for index in range(6):
        changed = maps.clone()
        changed[:, index] += 1
        depends = (layer(changed) - before).abs().amax((0, 2, 3)) > 1e-6
        assert depends.tolist() == [mark == "X" for mark in TABLE[index]]


def test_partial_convolution_equals_grouped_convolutions() -> None:
    layer, maps = PartialConv2d(CONNECTIONS, 5), torch.randn(2, 6, 14, 14)
    outputs, row = layer(maps), 0
    for group in layer.groups:
        assert isinstance(group, nn.Conv2d)
        indices = [index for inputs in CONNECTIONS[row : row + group.out_channels] for index in inputs]
        torch.testing.assert_close(outputs[:, row : row + group.out_channels], group(maps[:, indices]))
        row += group.out_channels
    assert row == len(CONNECTIONS)


def test_subsampling_is_a_scaled_average_plus_a_bias() -> None:
    layer = LeNet(Spec(Image(1, 32, 32), TEN), "classic", activation="identity").s2
    with torch.no_grad():
        layer[0].coefficient.fill_(2)
        layer[0].bias.fill_(1)
    maps = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 6, 4, 4)
    assert layer(maps)[0, 0].tolist() == [[6, 10], [22, 26]]


@pytest.mark.parametrize("size", [(28, 28), (31, 28)])
def test_images_of_at_least_28_pixels_are_padded_with_their_edge(size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    images[..., 0, :] = images[..., -1, :] = images[..., 0] = images[..., -1] = -0.4
    padded = pad_or_enlarge(images, INPUT_SIDE)
    top, left = (INPUT_SIDE - size[0]) // 2, (INPUT_SIDE - size[1]) // 2
    assert padded.shape == (2, 3, INPUT_SIDE, INPUT_SIDE)
    assert torch.equal(padded[..., top : top + size[0], left : left + size[1]], images)
    padded[..., top : top + size[0], left : left + size[1]] = -0.4
    assert (padded == torch.tensor(-0.4)).all()


def test_smaller_images_are_enlarged_and_larger_ones_unchanged() -> None:
    small = torch.randn(2, 1, 8, 8)
    assert pad_or_enlarge(small, INPUT_SIDE).shape == (2, 1, 32, 32)
    assert pad_or_enlarge(small, INPUT_SIDE).amax() <= small.amax()
    assert pad_or_enlarge(torch.randn(1, 1, 8, 40), INPUT_SIDE).shape == (1, 1, 32, 40)
    large = torch.randn(1, 3, 33, 50)
    assert pad_or_enlarge(large, INPUT_SIDE) is large


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 16, 16), (3, 28, 28), (2, 40, 64), (4, 16, 33)])
@pytest.mark.parametrize("resize", [True, False])
def test_accepts_images_of_any_sufficient_size(
    variant: Any, channels: int, height: int, width: int, resize: bool
) -> None:
    model = LeNet(Spec(Image(channels, height, width), Values(("x", "y"))), variant, resize=resize)
    assert model(torch.randn(3, channels, height, width)).shape == (3, 2)


def test_images_that_are_too_small_are_an_error_listing_the_map_sizes() -> None:
    with pytest.raises(InputError, match=r"side of 15 .*C1 11, S2 5, C3 1, S4 0; use at least 16 pixels"):
        LeNet(Spec(Image(1, 28, 15), TEN), resize=False)
    with pytest.raises(InputError, match=r"side of 8 .*C1 4, S2 2, C3 0, S4 0"):
        LeNet(Spec(Image(1, 8, 28), TEN), resize=False)


def test_hyperparameters_change_the_layers() -> None:
    spec = Spec(Image(1, 28, 28), TEN)
    model = LeNet(spec, "classic", activation="relu", normalization="batch", dropout=0.3, initialization="zeros")
    kinds = [type(layer).__name__ for layer in model.modules()]
    assert kinds.count("ReLU") == 6
    assert "ScaledTanh" not in kinds
    assert (kinds.count("BatchNorm2d"), kinds.count("BatchNorm1d"), kinds.count("Dropout")) == (2, 2, 2)
    assert not model.head.weight.any()
    with pytest.raises(InputError, match="dropout"):
        LeNet(spec, dropout=1.0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_overfits_one_batch(variant: Any) -> None:
    torch.manual_seed(0)
    data = Digits(batch_size=32).prepare()
    batch = next(iter(data.train_dataloader()))
    assert batch.targets is not None
    model = LeNet(data.spec, variant)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = model.objective.loss(model(batch.inputs), batch.targets)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert torch.equal(model.predict_batch(batch), batch.targets)


@pytest.mark.parametrize("variant", VARIANTS)
def test_beats_the_nearest_centroid_on_digits(variant: Any, quiet_trainer: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    data = Digits().prepare()
    train, test = data.parts["train"], data.parts["test"]
    centroids = NearestCentroid().fit(train.inputs.flatten(1).numpy(), train.targets.numpy())  # type: ignore[union-attr]
    baseline = centroids.score(test.inputs.flatten(1).numpy(), test.targets.numpy())  # type: ignore[union-attr]
    model = LeNet(data.spec, variant)
    trainer = quiet_trainer(max_epochs=6)
    trainer.fit(model, datamodule=data)
    (result,) = trainer.test(model, datamodule=data, verbose=False)
    assert result["test/accuracy"] > baseline + 0.04
