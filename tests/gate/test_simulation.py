"""Of models whose true values are known: how often the gate passes what it should not, and what it should."""

import pytest

from benchmarks.gate import NOMINAL, ROUNDS, cases, passed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CASES = {case.name: case for case in cases()}


@pytest.mark.parametrize("images", [30, 300, 5_000])
@pytest.mark.parametrize("name", CASES)
def test_at_the_threshold_a_model_passes_no_more_often_than_promised(name, images):
    """At most 2.5 % of models exactly at the threshold pass, as far as these models can tell (at 99.9 %)."""
    from scipy.stats import binom

    assert passed(CASES[name], 0.0, images) <= binom.ppf(0.999, ROUNDS, NOMINAL)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("raw accuracy, at least 80%", 0.9),
        ("mean accuracy, at least 80%", 0.95),
        ("mean accuracy, at least 95%", 0.95),
        ("worst accuracy, at least 80%", 0.5),
        ("mean accuracy, champion's less 1, 90% of answers its own", 0.95),
    ],
)
def test_two_points_above_it_most_pass(name, least):
    """5,000 images suffice to show two points; for the worst of five qualities each of them must show it."""
    assert passed(CASES[name], 0.02, 5_000) >= least * ROUNDS
