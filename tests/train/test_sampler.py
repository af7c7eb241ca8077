"""The sampler decides how often each trained quality is drawn."""

import numpy as np
import pytest

from fct.train.sampler import balanced, probabilities

QUALITIES = (10, 20, 40)


def test_low_qualities_are_drawn_in_inverse_proportion():
    """Quality 10 is drawn twice as often as 20 and four times as often as 40."""
    assert probabilities("low", QUALITIES, 0.5) == pytest.approx(np.array([4, 2, 1]) / 7)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, [0, 0, 1]), (0.2, [0, 0, 1]), (0.25, [0, 0.5, 0.5]), (0.5, [1 / 3] * 3), (0.9, [1 / 3] * 3)],
)
def test_a_curriculum_adds_lower_qualities(progress, expected):
    """It starts with the highest quality, and has all qualities from the middle of the training on."""
    assert probabilities("curriculum", QUALITIES, progress) == pytest.approx(expected)


def test_a_curriculum_takes_qualities_in_any_order():
    """The value of a quality decides when it is added, not its position in the list."""
    assert probabilities("curriculum", (40, 10, 20), 0.25) == pytest.approx([0.5, 0, 0.5])


def test_balanced_classes_are_drawn_equally_often():
    """The one image of class 5 is drawn as often as the three of class 2 together."""
    assert balanced(np.array([2, 5, 2, 2])) == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6])
