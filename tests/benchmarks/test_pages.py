"""What people wrote about the results agrees with them."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from benchmarks.comparison.cells import COLUMNS, UNSEEN
from benchmarks.comparison.pairs import difference_of
from benchmarks.comparison.records import read_runs
from benchmarks.comparison.results import datasets
from benchmarks.comparison.settings import read
from benchmarks.comparison.summary import MARKS

ROOT = Path(__file__).parents[2]
PAGES = ["results/index.md", "results/findings.md", "results/choices.md", "explanation/method.md"]
NUMBER = r"[-+]?\d+\.\d"
QUOTED = re.compile(rf"({NUMBER})(?:\spoints)?\s\[({NUMBER}),\s({NUMBER})\]")
NAME = re.compile(r"`([\w-]+)`")
PART = re.compile(r"\n(?=## |\*\*|\d\. )")  # of a page: below a heading, a bold sentence or a number


def quotations(text):
    """Yield the methods that each part of a page names, and the intervals that it quotes, without signs."""
    before, _, rest = text.partition(MARKS[0])  # between the marks stands what was computed
    for part in PART.split(before + rest.partition(MARKS[1])[2]):
        quoted = {tuple(number.lstrip("+-") for number in each) for each in QUOTED.findall(part)}
        if quoted:
            yield set(NAME.findall(part)), quoted


@pytest.fixture(scope="module")
def differences():
    """Compute the intervals of every difference of two methods with several seeds, as pages write them, by names."""
    settings, found = read(), {}
    for dataset in datasets():
        runs = {name: each for name, each in read_runs(dataset).items() if len(each.seeds) > 1}
        for one, other in combinations(runs.values(), 2):
            told = difference_of(one, other, settings.summary) or {}
            for each in (told[column] for column in COLUMNS | UNSEEN if "low" in told.get(column, {})):
                mean, low, high = (f"{abs(100 * each[key]):.1f}" for key in ("mean", "low", "high"))
                found.setdefault(frozenset((one.name, other.name)), set()).update(
                    [(mean, low, high), (mean, high, low)]  # a loss may be told as a positive number
                )
    return found


def wrong(text, differences):
    """Return the intervals of a page that no two methods have which its part names."""
    return {
        each
        for names, quoted in quotations(text)
        for each in quoted
        if not any(each in intervals for pair, intervals in differences.items() if pair <= names)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_interval_that_a_page_quotes_is_of_methods_that_it_names(page, differences):
    """It is that of a difference between two of them, in some column."""
    text = (ROOT / "docs" / page).read_text()
    assert list(quotations(text))
    assert not wrong(text, differences)


def test_an_interval_of_other_methods_is_found(differences):
    """The control is another one here: its interval is not that of what the sentence names."""
    said = "`fct-own` gains 1.5 [0.7, 2.3] over `{}`."
    assert not wrong(said.format("pair-own"), differences)
    assert wrong(said.format("augment-2x"), differences) == {("1.5", "0.7", "2.3")}
