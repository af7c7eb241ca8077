"""The importance of what the search varies follows from the order of the trials."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from fct.search.importance import ENOUGH, importance_of

DISTRIBUTIONS = {"weight": FloatDistribution(0.1, 10, log=True), "layer head": CategoricalDistribution([True, False])}


@pytest.fixture
def trials():
    """Return trials of which those with the head are better, whatever their weight; half of the others are pruned."""
    found = []
    for number in range(24):
        on = number % 2 == 0
        params = {"weight": 0.1 * 1.2 ** (number * 7 % 24), "layer head": on}
        state = TrialState.PRUNED if number % 4 == 1 else TrialState.COMPLETE
        value = 0.5 + 0.2 * on
        found.append(
            create_trial(
                params=params,
                distributions=DISTRIBUTIONS,
                state=state,
                value=value if state is TrialState.COMPLETE else None,
                intermediate_values={1: 0.99},
            )
        )
    return found


def test_what_divides_good_trials_from_bad_is_important(trials):
    """The shares add up to 1."""
    shares = dict(importance_of(trials))
    assert max(shares, key=shares.get) == "layer head"
    assert sum(shares.values()) == pytest.approx(1)


def test_it_is_the_same_each_time(trials):
    """The order of equal shares too."""
    assert importance_of(trials) == importance_of(trials)


def test_too_few_trials_have_none(trials):
    """Rather than numbers that mean nothing."""
    assert importance_of(trials[: ENOUGH - 1]) == ()
    assert len(importance_of(trials[:ENOUGH])) == len(DISTRIBUTIONS)


def test_a_study_whose_trials_all_failed_but_one_has_some(trials):
    """Trials without any value are last."""
    diverged = create_trial(params=trials[0].params, distributions=DISTRIBUTIONS, state=TrialState.PRUNED)
    assert len(importance_of([trials[0], *[diverged] * ENOUGH])) == len(DISTRIBUTIONS)
    assert optuna.logging.get_verbosity()
