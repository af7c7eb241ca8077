"""The table of trials, which validation images alone have seen."""

from benchmarks.comparison.settings import read
from benchmarks.comparison.trials import tried

SETTINGS = read()


def record(accuracy, rate=0.4):
    """Return what the table reads of a record."""
    validation = dict.fromkeys(["raw", "q10", "q50"], accuracy)
    return {"validation": validation, "settings": {"method": {"weight": 1.0}, "train": {"learning_rate": rate}}}


def cells(markdown):
    """Return the rows of a table, without its heading."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines()[2:]]


def test_a_trial_that_validates_better_than_the_chosen_one_is_marked():
    """Another than the first says so only where it is the best of all."""
    better = tried(SETTINGS, {"pair": {0: record(0.80), 1: record(0.81), 2: record(0.7)}})
    assert [row[-1] for row in cells(better)] == ["chosen", "better", ""]
    worse = tried(SETTINGS, {"pair": {0: record(0.80), 1: record(0.79)}})
    assert [row[-1] for row in cells(worse)] == ["chosen", ""]


def test_a_trial_is_told_by_what_was_tried():
    """The value is the record's, also of the trial that changes nothing."""
    assert SETTINGS.methods["pair"].trials[0] == {}
    told = cells(tried(SETTINGS, {"pair": {0: record(0.80, 0.4), 1: record(0.79, 0.2)}}))
    assert [row[1] for row in told] == ["learning_rate 0.4", "learning_rate 0.2"]
