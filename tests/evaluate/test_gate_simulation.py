"""Of models whose true accuracy is known: how often the gate passes what it should not, and what it should."""

import numpy as np
import pytest
from scipy.stats import binom

from fct.evaluate.answers import Answers
from fct.evaluate.gate import judge
from fct.evaluate.params import CheckParams, EvaluateParams

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = 1000
IMAGES = 5000
QUALITIES = (10, 30, 50, 70, 90)
FLOOR = 0.8
NOMINAL = 0.025  # one side of a 95% interval


def simulated(rng, accuracy):
    """A model of that accuracy on every view; images are hard or easy, and so at all qualities alike."""
    chance = rng.beta(4 * accuracy, 4 * (1 - accuracy), IMAGES)  # of mean `accuracy`
    right = rng.random((1 + len(QUALITIES), IMAGES)) < chance
    views = ("raw", *(f"q{quality}" for quality in QUALITIES))
    return Answers(views, right.astype(int), np.full(right.shape, 0.9), np.ones(IMAGES, int))


def passed(name, accuracy):
    """How many of the simulated models pass a floor."""
    line = CheckParams(slice=name, metric="accuracy", at_least=FLOOR)
    how = EvaluateParams(qualities=QUALITIES, unseen=(), batch_size=1, resamples=500, confidence=0.95, seed=0)
    rng = np.random.default_rng(1)
    return sum(judge([line], simulated(rng, accuracy), {}, how)[0].passed for _ in range(ROUNDS))


@pytest.mark.parametrize("name", ["raw", "mean", "worst"])
def test_at_the_floor_a_model_passes_no_more_often_than_promised(name):
    """At most 2.5 % of models exactly at the floor pass, as far as 1,000 of them can tell (at 99.9 %)."""
    assert passed(name, FLOOR) <= binom.ppf(0.999, ROUNDS, NOMINAL)


@pytest.mark.parametrize(("name", "least"), [("raw", 0.9), ("mean", 0.95), ("worst", 0.5)])
def test_two_points_above_it_most_pass(name, least):
    """5,000 images suffice to show two points; for the worst of five qualities each of them must show it."""
    assert passed(name, FLOOR + 0.02) >= least * ROUNDS
