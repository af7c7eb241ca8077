"""Divergences of predictions are what their formulas say."""

import math

import pytest
import torch

from fct.losses.predictions import (
    TEMPERATURE,
    DistillationLoss,
    JSDLoss,
    StabilityLoss,
    jensen_shannon,
    kl_divergence,
)

ONE = torch.tensor([[math.log(0.9), math.log(0.1)], [0.0, 0.0]])
OTHER = torch.tensor([[math.log(0.6), math.log(0.4)], [0.0, 0.0]])


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_kl_is_of_the_target_over_the_prediction_and_a_mean_over_images():
    """KL(target || prediction) of the first image; the second, whose predictions agree, adds nothing."""
    expected = kl((0.9, 0.1), (0.6, 0.4)) / 2
    assert kl_divergence(ONE, OTHER).item() == pytest.approx(expected, rel=1e-5)


def test_at_a_temperature_gradients_keep_their_size():
    """Predictions are softened by T, and the divergence is multiplied by T^2."""
    soft = torch.softmax(ONE / 4, 1)[0].tolist(), torch.softmax(OTHER / 4, 1)[0].tolist()
    assert kl_divergence(ONE, OTHER, temperature=4).item() == pytest.approx(16 * kl(*soft) / 2, rel=1e-4)


def test_jensen_shannon_is_the_mean_divergence_from_the_middle():
    """1/2 [KL(f || m) + KL(g || m)], the same in both directions, averaged over images."""
    middle = (0.75, 0.25)
    expected = (kl((0.9, 0.1), middle) + kl((0.6, 0.4), middle)) / 2 / 2
    assert jensen_shannon(ONE, OTHER).item() == pytest.approx(expected, rel=1e-5)
    assert jensen_shannon(OTHER, ONE).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (StabilityLoss(2.0), 2 * kl_divergence(ONE, OTHER)),
        (JSDLoss(2.0), 2 * jensen_shannon(ONE, OTHER)),
        (DistillationLoss(2.0), 2 * kl_divergence(ONE, OTHER, temperature=TEMPERATURE)),
        (DistillationLoss(2.0, temperature=1.0), 2 * kl_divergence(ONE, OTHER)),
    ],
    ids=repr,
)
def test_a_loss_is_its_divergence_times_the_weight(loss, expected):
    """The first prediction is the target in all of them."""
    assert torch.equal(loss(ONE, OTHER), expected)


def test_a_teacher_is_a_constant():
    """Distillation has no gradient for the teacher. Stability trains both predictions, as the paper does."""
    target, logits = ONE.clone().requires_grad_(), OTHER.clone().requires_grad_()
    DistillationLoss()(target, logits).backward()
    assert target.grad is None
    assert logits.grad is not None
    StabilityLoss()(target, logits).backward()
    assert target.grad is not None


@pytest.mark.parametrize("divergence", [kl_divergence, jensen_shannon])
def test_half_precision_is_computed_in_float32(divergence):
    """The result is that of the same logits in float32."""
    one, other = ONE.bfloat16(), OTHER.bfloat16()
    assert torch.equal(divergence(one, other), divergence(one.float(), other.float()))


@pytest.mark.parametrize("divergence", [kl_divergence, jensen_shannon])
@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (ONE, OTHER[:1], "the same images and the same classes"),
        (ONE, OTHER.long(), "logits are torch.int64"),
        (ONE[0], OTHER[0], r"float tensor \[B, classes\]"),
        (ONE, OTHER.to("meta"), "on cpu, the other on meta"),
    ],
)
def test_logits_that_do_not_fit_are_an_error(divergence, one, other, message):
    """Predictions are not broadcast, and labels are no logits."""
    with pytest.raises(ValueError, match=message):
        divergence(one, other)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_is_above_0(temperature):
    """Anything else is an error that shows the value."""
    with pytest.raises(ValueError, match="it is a number above 0"):
        kl_divergence(ONE, OTHER, temperature=temperature)
    with pytest.raises(ValueError, match="it is a number above 0"):
        DistillationLoss(temperature=temperature)


@pytest.mark.parametrize("make", [StabilityLoss, JSDLoss, DistillationLoss])
def test_a_weight_is_a_number_from_0(make):
    """Anything else is an error that shows the value."""
    with pytest.raises(ValueError, match="weight is -1; it is a number from 0"):
        make(-1)
