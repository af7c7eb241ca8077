"""Tables of trials: one choice of a method changed, or its own parameter."""

from benchmarks.comparison.settings import read
from benchmarks.comparison.trials import changed, chosen, sections

SETTINGS = read()


def record(method, accuracy, distortion=0.2):
    """Return what a trial's table reads of its record."""
    qualities = {f"q{quality}": accuracy - 0.05 for quality in SETTINGS.cache.qualities}
    return {
        "method": {"name": method},
        "validation": {"raw": accuracy} | qualities,
        "distortion": {"stage1": {"q10": distortion}, "stage2": {"q10": distortion + 0.1}},
    }


def test_a_knob_is_told_by_its_difference_from_the_method_it_changes():
    """Accuracies and distortion are in %, and each knob stands below its own base."""
    bases = {"fct": record("fct", 0.80), "fct-r": record("fct-r", 0.90)}
    told = changed(bases, {"fct-mse": record("fct", 0.79, 0.3)})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()[2:]]
    assert rows == [
        ["`fct`", "80.0", "75.0", "75.0", "75.0", "25.0"],
        ["`fct-mse`", "79.0 (-1.0)", "74.0 (-1.0)", "74.0 (-1.0)", "74.0 (-1.0)", "35.0 (+10.0)"],
    ]


def test_a_value_that_validates_better_than_that_of_the_runs_is_marked():
    """The first value is the runs'; another says so only where it is the best of all."""
    better = chosen(SETTINGS, {"pair": {0: record("pair", 0.80), 1: record("pair", 0.81), 2: record("pair", 0.7)}})
    assert [line.split("|")[-2].strip() for line in better.splitlines()[2:]] == ["of the runs", "better", ""]
    worse = chosen(SETTINGS, {"pair": {0: record("pair", 0.80), 1: record("pair", 0.79)}})
    assert [line.split("|")[-2].strip() for line in worse.splitlines()[2:]] == ["of the runs", ""]


def test_without_trials_there_is_no_table():
    """A data set that has none gets no empty heading, and knobs whose base is missing wait for it."""
    assert sections(SETTINGS, {}) == []
    assert sections(SETTINGS, {"fct-mse": {0: record("fct", 0.8)}}) == []
