"""The quality estimator: any images in, a quality each out."""

import pytest
import torch

from fct.nn.estimator import QualityEstimator


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (28, 28), (33, 47)])
def test_images_of_any_size_get_a_quality_each(channels, size):
    """Grey and colour, square or not: one number an image, within 0..100, for extreme pixels too."""
    torch.manual_seed(0)
    estimator = QualityEstimator(channels).eval()
    quality = estimator(torch.randn(3, channels, *size) * torch.tensor([1.0, 100.0, 0.0]).view(-1, 1, 1, 1))
    assert (quality.shape, quality.dtype) == ((3,), torch.float32)
    assert bool(((quality >= 0) & (quality <= 100)).all())
