"""The stage writes the answer and the tables, and says what its budget can find."""

import pytest

from fct.search.__main__ import describe
from fct.search.params import Range
from fct.search.run import Result, Tried
from fct.search.space import Space

SPACE = Space(Range(low=0.1, high=1), ["stage1", "head"], [], ["mse"], ["raw", "teacher"])


@pytest.fixture
def result(toy):
    """Return the result of some trials, of which the last was pruned."""

    def make(trials):
        method = toy.method()
        ended = [Tried(method, [(0.8, 0.9)], "trained")] * (trials - 1)
        return Result(method, 0, 0.8, 0.9, (*ended, Tried(method, [(0.1, 0.2)], "pruned")), (), SPACE)

    return make


def test_few_trials_are_a_first_look(result):
    """One sentence says what they cannot find, and what to set."""
    answer, budget = describe(result(3)).splitlines()
    assert answer == (
        "best: trial 0 of 3 (0 is the method of params.yaml, 1 pruned): 0.8000 on compressed images, 0.9000 raw. It is "
        "in search/best.yaml."
    )
    assert budget == (
        "3 trials are a first look: they can neither find the best of the weight, 2 layers and 2 targets nor show "
        "which of them matter. Set search.trials to 30."
    )


def test_enough_trials_need_no_warning(result):
    """Ten are enough for the importance."""
    assert "a first look" not in describe(result(10))


def test_without_a_search_there_is_nothing_to_choose(toy):
    """The method stays."""
    assert describe(Result(toy.method(), 0, None, None)).startswith("no search: ")
