"""The quality estimator returns a quality for each image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.nn.estimator import QualityEstimator


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (28, 28), (33, 47)])
def test_images_of_any_size_get_a_quality(channels, size):
    """Grey or colour images of any shape get a quality in 0..100, even with extreme pixels."""
    torch.manual_seed(0)
    estimator = QualityEstimator(channels).eval()
    quality = estimator(torch.randn(3, channels, *size) * torch.tensor([1.0, 100.0, 0.0]).view(-1, 1, 1, 1))
    assert (quality.shape, quality.dtype) == ((3,), torch.float32)
    assert bool(((quality >= 0) & (quality <= 100)).all())


@given(
    colour=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(16, 40), st.integers(16, 40)),
)
@settings(max_examples=15)
def test_only_differences_between_neighbours_count(colour, channels, size):
    """An image of another brightness or hue has the same artefacts, at its edges too, and so the same estimate."""
    torch.manual_seed(0)
    estimator, image = QualityEstimator(channels).eval(), torch.randn(2, channels, *size)
    tint = torch.tensor(colour)[:channels].view(1, -1, 1, 1)
    torch.testing.assert_close(estimator(image + tint), estimator(image), atol=1e-2, rtol=0)
