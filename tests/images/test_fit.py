"""An image of any size becomes the square that a model takes, as the model's own library makes it."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fct.images.decode import UnusableImage, resize
from fct.images.fit import Fit, Interpolation


def photograph(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@given(height=st.integers(1, 90), width=st.integers(1, 90), channels=st.sampled_from([1, 3]), data=st.data())
def test_every_image_becomes_a_square_of_the_models_size(height: int, width: int, channels: int, data) -> None:
    shorter = data.draw(st.none() | st.integers(24, 40))
    fit = Fit(24, shorter, data.draw(st.booleans()), data.draw(st.sampled_from(get_args(Interpolation))))
    assert fit(photograph(height, width, channels)).shape == (24, 24, channels)


def test_by_default_images_are_fitted_as_in_training() -> None:
    image = photograph(50, 70)
    assert np.array_equal(Fit(24)(image), resize(image, 24))


@pytest.mark.parametrize(("height", "width"), [(50, 70), (70, 50), (256, 300), (300, 255), (32, 47), (33, 33)])
def test_a_shorter_side_and_a_crop_give_what_torchvision_gives(height: int, width: int) -> None:
    """Resize(256) and CenterCrop(224), on Pillow images."""
    from PIL import Image
    from torchvision.transforms import v2

    image = photograph(height, width)
    theirs = v2.Compose([v2.Resize(32), v2.CenterCrop(28)])(Image.fromarray(image))
    assert np.array_equal(Fit(28, 32, interpolation="bilinear")(image), np.asarray(theirs))


@pytest.mark.parametrize(("height", "width"), [(65_500, 1), (1, 65_500), (40_000, 20)])
def test_an_image_that_would_become_too_large_is_refused_before_it_is_scaled(height: int, width: int) -> None:
    """256 pixels wide, a column of one pixel would take 12 GiB."""
    with pytest.raises(UnusableImage, match=rf"too long and narrow: {width:,} x {height:,} pixels would be scaled to"):
        Fit(224, 256).scale_and_crop(photograph(height, width, 1), lambda *_: pytest.fail("it is scaled"))


@pytest.mark.parametrize("fit", [Fit(24), Fit(24, stretch=True), Fit(24, 32)])
def test_a_long_and_narrow_image_is_used_where_it_stays_small(fit: Fit) -> None:
    assert fit(photograph(65_500, 1)).shape == (24, 24, 3)


def test_stretching_keeps_the_whole_image() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:, -10:] = 255
    assert Fit(24, stretch=True)(image)[:, -1].min() == 255
    assert Fit(24)(image)[:, -1].max() == 0
