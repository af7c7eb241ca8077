"""Pruners are compared on trials that were trained to their end."""

import pytest

from benchmarks import search
from fct.search.study import make_pruner

GOOD, BAD, BEST = [0.3, 0.4, 0.5], [0.1, 0.15, 0.2], [0.4, 0.5, 0.6]


@pytest.mark.parametrize("name", search.PRUNERS)
def test_no_pruner_ends_the_first_trial_or_the_best(name):
    """`none` trains every epoch, the others fewer of bad trials."""
    worse = [[value - 0.01 * number for value in BAD] for number in range(9)]
    found = search.replay([GOOD, *worse, BEST], make_pruner(name, 3), "a")
    assert found.value == 0.6
    assert found.epochs == 33 if name == "none" else 6 <= found.epochs < 33


def test_a_trial_that_diverged_ends_where_it_did():
    """It has fewer values than the first, and no last one."""
    found = search.replay([GOOD, [0.9]], make_pruner("none", 3), "a")
    assert found == (4, 0.5)


def test_what_the_search_did_before_is_a_pruner():
    """A trial that is behind the first one ends."""
    assert search.replay([GOOD, BAD, BEST], search.BehindFirst(), "a") == (7, 0.6)


def test_the_page_has_the_tables_of_the_results():
    """As far as the results are there: `python -m benchmarks.search --tables` writes them."""
    page = search.PAGE.read_text()
    for name, block in search.tables().items():
        begin = page.index(f"<!-- {name}: written by `python -m benchmarks.search --tables` -->")
        assert block.strip() == page[begin : page.index(f"<!-- {name} ends -->")].partition("-->")[2].strip()
