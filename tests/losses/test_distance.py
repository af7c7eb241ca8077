"""The distances of features are what their formulas say, and refuse features that do not fit."""

import math

import numpy as np
import pytest
import torch

from fct.losses.distance import DISTANCES, feature_distance


def feature(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_mse_by_hand():
    """The mean squared difference is (1 + 0 + 4 + 9) / 4."""
    compressed = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    raw = torch.tensor([[0.0, 2.0], [5.0, 1.0]])
    assert float(feature_distance(raw, compressed, "mse")) == 14 / 4


def test_centred_mse_by_hand():
    """The distance is the mean squared difference 3.5 over the variance within channels, (6.25 + 0.25) / 2."""
    compressed = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    raw = torch.tensor([[0.0, 2.0], [5.0, 1.0]])  # channel means 2.5 and 1.5
    assert float(feature_distance(raw, compressed, "centred-mse")) == pytest.approx(3.5 / 3.25, rel=1e-6)


def test_cosine_by_hand():
    """The distance is the mean of 1 - cos over angles of 45, 90 and 180 degrees."""
    compressed = torch.tensor([[1.0, 1.0], [0.0, 2.0], [-3.0, 0.0]])
    raw = torch.tensor([[5.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    expected = ((1 - math.sqrt(0.5)) + 1 + 2) / 3
    assert float(feature_distance(raw, compressed, "cosine")) == pytest.approx(expected, rel=1e-6)


def test_cosine_uses_one_vector_per_image():
    """A feature [B, C, H, W] is flattened to one vector for each image."""
    compressed, raw = feature(0, 4, 3, 5, 5), feature(1, 4, 3, 5, 5)
    angles = [
        float(torch.dot(a.flatten(), b.flatten()) / a.norm() / b.norm()) for a, b in zip(compressed, raw, strict=True)
    ]
    assert float(feature_distance(raw, compressed, "cosine")) == pytest.approx(1 - sum(angles) / 4, rel=1e-5)


@pytest.mark.parametrize("kind", DISTANCES)
def test_equal_features_have_distance_0(kind):
    """D(phi, phi) is 0 for features of any rank."""
    for shape in ((4, 6), (4, 6, 3, 3)):
        same = feature(0, *shape)
        assert float(feature_distance(same, same, kind)) == pytest.approx(0, abs=1e-6)


def test_centred_mse_cannot_be_lowered_by_scale_or_offset():
    """Scaling both features, or adding a constant to a channel, does not change the distance. It changes mse."""
    compressed, raw = feature(0, 8, 3, 4, 4), feature(1, 8, 3, 4, 4)
    before = feature_distance(raw, compressed, "centred-mse")
    offset = torch.tensor([100.0, -3.0, 0.5])[:, None, None]
    for features in ((raw / 10, compressed / 10), (raw + offset, compressed + offset)):
        torch.testing.assert_close(feature_distance(*features, "centred-mse"), before, rtol=1e-3, atol=0)
    assert feature_distance(raw / 10, compressed / 10, "mse") < feature_distance(raw, compressed, "mse") / 50


def test_a_constant_feature_leaves_the_distance_finite():
    """A constant feature has variance 0, but the distance and its gradient are finite."""
    compressed = torch.full((2, 3, 4, 4), 1.0, requires_grad=True)
    value = feature_distance(torch.zeros(2, 3, 4, 4), compressed, "centred-mse")
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(compressed.grad).all()


@pytest.mark.parametrize("kind", DISTANCES)
def test_features_in_bf16_are_compared_in_fp32(kind):
    """The distance of bf16 features is a float32, computed in float32."""
    compressed, raw = feature(0, 4, 3, 5, 5).bfloat16(), feature(1, 4, 3, 5, 5).bfloat16()
    value = feature_distance(raw, compressed, kind)
    assert value.dtype == torch.float32
    assert torch.equal(value, feature_distance(raw.float(), compressed.float(), kind))


@pytest.mark.parametrize(
    ("raw", "compressed", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), r"shape \[2, 3\], the compressed one \[2, 4\]"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.uint8), "compressed feature is torch.uint8"),
        (torch.zeros(3), torch.zeros(3), r"float tensor \[B, C, ...\]"),
        (torch.zeros(2, 3), torch.zeros(2, 3, device="meta"), "on cpu, the compressed one on meta"),
    ],
)
def test_features_that_do_not_fit_are_an_error(raw, compressed, message):
    """Shapes are not broadcast, integers are no features, and devices are not mixed."""
    with pytest.raises(ValueError, match=message):
        feature_distance(raw, compressed)


def test_one_image_without_positions_has_no_variance():
    """A last batch of one pair would give a loss of a million. The error names drop_last; positions suffice."""
    with pytest.raises(ValueError, match=r"shape \[1, 8\]: one value per channel has no variance.*drop_last=True"):
        feature_distance(torch.randn(1, 8), torch.randn(1, 8))
    with pytest.raises(ValueError, match="no variance"):
        feature_distance(torch.randn(1, 8, 1, 1), torch.randn(1, 8, 1, 1))
    assert feature_distance(torch.randn(1, 8, 2, 2), torch.randn(1, 8, 2, 2)) < 100
    assert feature_distance(torch.randn(1, 8), torch.randn(1, 8), "cosine") <= 2


def test_an_array_is_no_feature():
    """The message names the type."""
    with pytest.raises(TypeError, match="raw feature is ndarray; it is a tensor"):
        feature_distance(np.zeros((2, 3)), torch.zeros(2, 3))


def test_an_unknown_distance_is_an_error():
    """The message lists the distances."""
    with pytest.raises(ValueError, match="'l2'; it is one of mse, centred-mse, cosine"):
        feature_distance(torch.zeros(1, 2), torch.zeros(1, 2), "l2")
