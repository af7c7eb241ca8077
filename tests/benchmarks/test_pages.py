"""What people wrote about the results agrees with them."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from benchmarks.comparison.records import read_runs
from benchmarks.comparison.results import datasets
from benchmarks.comparison.settings import read
from benchmarks.comparison.summary import difference_of

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/results/index.md",
    "docs/results/findings.md",
    "docs/results/choices.md",
    "docs/explanation/method.md",
]
NUMBER = r"[-+]?\d+\.\d"
QUOTED = re.compile(rf"({NUMBER})(?: points)? \[({NUMBER}),\s({NUMBER})\]")


@pytest.fixture(scope="module")
def differences():
    """Compute the interval of every difference of two methods with several seeds, as pages write it."""
    settings, found = read(), set()
    for dataset in datasets():
        runs = {name: each for name, each in read_runs(dataset).items() if len(each.seeds) > 1}
        for one, other in combinations(runs.values(), 2):
            told = difference_of(one, other, settings.summary)
            intervals = [each for each in (told or {}).values() if isinstance(each, dict) and "low" in each]
            for each in intervals:
                mean, low, high = (f"{abs(100 * each[key]):.1f}" for key in ("mean", "low", "high"))
                found |= {(mean, low, high), (mean, high, low)}  # of one from the other, and the other way round
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_interval_that_a_page_quotes_is_that_of_a_difference(page, differences):
    """Of two methods in the results, but for the sign: a loss may be told as a positive number."""
    quoted = QUOTED.findall((ROOT / page).read_text())
    assert quoted
    wrong = [each for each in quoted if tuple(number.lstrip("+-") for number in each) not in differences]
    assert not wrong
