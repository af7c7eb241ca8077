"""The quality estimator returns a quality for each image."""

import pytest
import torch

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
