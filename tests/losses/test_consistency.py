"""Feature consistency is the mean distance over layers, for whatever holds the features."""

import pytest
import torch

from fct.losses.consistency import FeatureConsistencyLoss, feature_consistency
from fct.losses.distance import DISTANCES, feature_distance


def features(seed, *, layers=("layer3", "layer4")):
    generator = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(4, 3, 5, 5, generator=generator) for layer in layers}


@pytest.mark.parametrize("distance", DISTANCES)
def test_it_is_the_weighted_mean_over_layers(distance):
    """weight * mean over layers of D(compressed, raw)."""
    raw, compressed = features(0), features(1)
    expected = sum(feature_distance(raw[layer], compressed[layer], distance) for layer in raw) / 2
    loss = FeatureConsistencyLoss(3.0, distance=distance)(raw, compressed)
    torch.testing.assert_close(loss, 3 * expected)


def test_a_dict_a_list_and_a_tensor_are_equal():
    """One layer's features may be given alone, in a list or in a dict."""
    raw, compressed = features(0)["layer3"], features(1)["layer3"]
    expected = feature_consistency(raw, compressed)
    assert torch.equal(feature_consistency([raw], (compressed,)), expected)
    assert torch.equal(feature_consistency({"layer3": raw}, {"layer3": compressed}), expected)


def test_the_order_of_layers_does_not_matter():
    """Layers are matched by name."""
    raw, compressed = features(0), features(1)
    backwards = dict(reversed(compressed.items()))
    assert torch.equal(feature_consistency(raw, backwards), feature_consistency(raw, compressed))


@pytest.mark.parametrize("detach_target", [True, False])
def test_the_raw_features_learn_only_if_they_are_not_detached(detach_target):
    """By default the raw features are a constant. The compressed features always get a gradient."""
    raw, compressed = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    FeatureConsistencyLoss(detach_target=detach_target)(raw, compressed).backward()
    assert compressed.grad is not None
    assert (raw.grad is None) == detach_target


def test_the_weight_may_change_during_a_training():
    """A schedule sets the attribute."""
    loss = FeatureConsistencyLoss(weight=2.0)
    raw, compressed = features(0), features(1)
    before = loss(raw, compressed)
    loss.weight = 1.0
    torch.testing.assert_close(loss(raw, compressed), before / 2)


def test_features_that_are_no_numbers_make_the_loss_no_number():
    """NaN is not hidden: a training sees that it diverged."""
    raw = features(0)
    raw["layer4"][0, 0, 0, 0] = float("nan")
    assert torch.isnan(feature_consistency(raw, features(1)))


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "3", None, True])
def test_a_weight_is_a_number_from_0(weight):
    """Anything else is an error that shows the value."""
    with pytest.raises(ValueError, match="it is a number from 0"):
        FeatureConsistencyLoss(weight)


def test_an_unknown_distance_is_an_error_at_once():
    """Not only at the first step."""
    with pytest.raises(ValueError, match="it is one of mse, centred-mse, cosine"):
        FeatureConsistencyLoss(distance="l2")


def test_other_layers_are_an_error():
    """A teacher with taps on other layers, and no layers at all, are refused."""
    with pytest.raises(ValueError, match=r"layers layer3, layer4, the compressed ones of layer3; give the same layers"):
        feature_consistency(features(0), features(1, layers=["layer3"]))
    with pytest.raises(ValueError, match="give those of at least one layer"):
        feature_consistency({}, {})


def test_what_holds_no_tensors_is_an_error():
    """Both halves in one argument, or None."""
    with pytest.raises(TypeError, match="features are NoneType; they are a tensor, or a sequence or dict of tensors"):
        feature_consistency(None, None)


def test_a_teacher_of_another_shape_is_an_error():
    """Features are never broadcast."""
    with pytest.raises(ValueError, match="another architecture cannot be the teacher"):
        feature_consistency(torch.zeros(4, 8, 1, 1), torch.zeros(4, 8, 5, 5))


def test_the_repr_shows_the_arguments():
    """`print(loss)` says what was chosen."""
    assert repr(FeatureConsistencyLoss()) == (
        "FeatureConsistencyLoss(weight=1.0, distance='centred-mse', detach_target=True)"
    )
