"""The table of `fct spread` says how far trainings lie apart."""

import pytest

from fct.gate.trainings import Trainings
from fct.spread.table import format_spread


def trainings(**values):
    return Trainings(tuple(range(len(next(iter(values.values()))))), values, "0123456789abcdef", {})


def test_the_table_has_mean_deviation_interval_and_range():
    """Of 0.8, 0.82 and 0.84: mean 0.82, deviation 0.02, 0.82 +- 4.3027 * 0.02 / sqrt(3)."""
    heading, line = format_spread(trainings(raw_accuracy=(0.8, 0.84, 0.82)), 0.95).splitlines()
    assert "95% of the mean" in heading
    assert line.split() == ["raw_accuracy", "0.8200", "0.0200", "0.7703", "to", "0.8697", "0.8000", "to", "0.8400"]


def test_equal_trainings_have_no_spread():
    """Two models with the same values have the deviation 0."""
    line = format_spread(trainings(mean_ece=(0.01, 0.01)), 0.95).splitlines()[1]
    assert float(line.split()[2]) == pytest.approx(0)
