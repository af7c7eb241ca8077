"""Divergences of predictions are what their formulas say."""

import math

import pytest
import torch

from fct.losses.predictions import jensen_shannon, kl_divergence

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
