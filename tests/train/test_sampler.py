"""Trained qualities are drawn as often as the sampler says."""

import numpy as np
import pytest

from fct.train.sampler import probabilities

QUALITIES = (10, 20, 40)


def test_low_qualities_are_drawn_in_inverse_proportion():
    """Quality 10 is drawn twice as often as 20 and four times as often as 40."""
    assert probabilities("low", QUALITIES, 0.5) == pytest.approx(np.array([4, 2, 1]) / 7)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, [0, 0, 1]), (0.2, [0, 0, 1]), (0.25, [0, 0.5, 0.5]), (0.5, [1 / 3] * 3), (0.9, [1 / 3] * 3)],
)
def test_a_curriculum_goes_down(progress, expected):
    """It begins with the highest quality, and has all of them from the middle of the training on."""
    assert probabilities("curriculum", QUALITIES, progress) == pytest.approx(expected)


def test_a_curriculum_takes_qualities_in_any_order():
    """Which come first is decided by their value, not by their place."""
    assert probabilities("curriculum", (40, 10, 20), 0.25) == pytest.approx([0.5, 0, 0.5])
