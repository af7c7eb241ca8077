"""Of models whose true accuracy is known: how often the gate passes what it should not, and what it should."""

import pytest

from benchmarks.gate import LINES, NOMINAL, ROUNDS, passed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
IMAGES = 5_000


@pytest.mark.parametrize("name", LINES)
def test_at_the_threshold_a_model_passes_no_more_often_than_promised(name):
    """At most 2.5 % of models exactly at the threshold pass, as far as 1,000 of them can tell (at 99.9 %)."""
    from scipy.stats import binom

    assert passed(name, 0.0, IMAGES) <= binom.ppf(0.999, ROUNDS, NOMINAL)


@pytest.mark.parametrize(
    ("name", "least"), [("raw", 0.9), ("mean", 0.95), ("worst", 0.5), ("mean against the champion", 0.95)]
)
def test_two_points_above_it_most_pass(name, least):
    """5,000 images suffice to show two points; for the worst of five qualities each of them must show it."""
    assert passed(name, 0.02, IMAGES) >= least * ROUNDS
