"""Images in another form than their own."""

from __future__ import annotations

import pytest
import torch

from primer.data.images.digits import Digits
from primer.data.loading.presentation import presentation
from primer.spec import Image


def test_what_is_as_wanted_is_left_alone() -> None:
    assert presentation(Image(3, 32, 32), Image(3, 32, 32, (0.5,) * 3, (0.2,) * 3)) is None


def test_grey_becomes_three_equal_channels_and_bytes_parts_of_one() -> None:
    images = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    show = presentation(Image(1, 4, 4), Image(3, 4, 4))
    assert show is not None
    shown = show(images)
    assert shown.shape == (2, 3, 4, 4)
    for channel in range(3):
        torch.testing.assert_close(shown[:, channel], images[:, 0] / 255)


def test_colour_becomes_grey_by_its_luma() -> None:
    show = presentation(Image(3, 1, 1), Image(1, 1, 1))
    assert show is not None
    colours = torch.eye(3).view(3, 3, 1, 1)
    torch.testing.assert_close(show(colours).flatten(), torch.tensor([0.299, 0.587, 0.114]))
    torch.testing.assert_close(show(torch.ones(1, 3, 1, 1)).item(), 1.0)


def test_sizes_change_and_flat_images_stay_flat() -> None:
    show = presentation(Image(1, 8, 8), Image(3, 20, 30))
    assert show is not None
    shown = show(torch.full((2, 1, 8, 8), 0.25))
    assert shown.shape == (2, 3, 20, 30)
    torch.testing.assert_close(shown, torch.full_like(shown, 0.25))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="images of 4 channels cannot be shown as images of 3"):
        presentation(Image(4, 8, 8), Image(3, 8, 8))


def test_a_data_set_shows_its_images_in_the_form_that_it_was_asked_for() -> None:
    data = Digits().prepare()
    wanted = Image(3, 16, 16, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    data.set_image_format(Image(1, 24, 24))
    data.set_image_format(wanted)
    assert data.spec.input == wanted
    (batch,) = data.test_dataloader()
    assert batch.inputs.shape == (data.parts["test"].size, 3, 16, 16)
    mean, std = (torch.tensor(some).view(1, 3, 1, 1) for some in (wanted.mean, wanted.std))
    grey = batch.inputs * std + mean
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    own = data.parts["test"].inputs
    expected = torch.nn.functional.interpolate(own, (16, 16), mode="bilinear", antialias=True)
    torch.testing.assert_close(grey[:, :1], expected)
    trained = next(iter(data.train_dataloader()))
    assert trained.inputs.shape[1:] == (3, 16, 16)
