"""Tables of what validation images alone have seen."""

import pytest

from benchmarks.comparison.settings import read
from benchmarks.comparison.trials import changed, chosen, sections
from fct.core.errors import FctError

SETTINGS = read()


def record(method, accuracy, distortion=0.2):
    """Return what the tables read of a record."""
    qualities = {f"q{quality}": accuracy - 0.05 for quality in SETTINGS.cache.qualities}
    return {
        "method": {"name": method},
        "validation": {"raw": accuracy} | qualities,
        "distortion": {"stage1": {"q10": distortion}, "stage2": {"q10": distortion + 0.1}},
    }


def cells(markdown):
    """Return the rows of a table, without its heading."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines()[2:]]


def test_a_choice_is_told_by_its_difference_on_the_same_seeds():
    """Accuracies and distortion are in %, and each ablation stands below its own method."""
    bases = {"fct": {0: record("fct", 0.80), 1: record("fct", 0.90)}, "fct-r": {0: record("fct-r", 0.90)}}
    assert cells(changed(bases, {"fct-mse": {1: record("fct", 0.89, 0.3)}})) == [
        ["`fct`", "2", "85.0", "80.0", "80.0", "80.0", "25.0"],
        ["`fct-mse`", "1", "89.0 (-1.0)", "84.0 (-1.0)", "84.0 (-1.0)", "84.0 (-1.0)", "35.0 (+10.0)"],
    ]


def test_a_trial_that_validates_better_than_the_chosen_one_is_marked():
    """Another than the first says so only where it is the best of all."""
    better = chosen(SETTINGS, {"pair": {0: record("pair", 0.80), 1: record("pair", 0.81), 2: record("pair", 0.7)}})
    assert [row[-1] for row in cells(better)] == ["chosen", "better", ""]
    worse = chosen(SETTINGS, {"pair": {0: record("pair", 0.80), 1: record("pair", 0.79)}})
    assert [row[-1] for row in cells(worse)] == ["chosen", ""]


def test_a_trial_that_params_has_no_more_is_named():
    """The error names the file and what to do."""
    with pytest.raises(FctError, match=r"trials/pair-9\.json: .* has only 3 trials of pair\. Delete the file"):
        chosen(SETTINGS, {"pair": {9: record("pair", 0.80)}})


def test_where_nothing_ran_there_is_no_table():
    """A data set without trials gets no empty heading, and ablations whose method is missing wait for it."""
    assert list(sections(SETTINGS, {}, {})) == []
    assert list(sections(SETTINGS, {"fct-mse": {0: record("fct", 0.8)}}, {})) == []
