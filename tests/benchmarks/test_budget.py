"""What a training costs in full, and what is compared at equal cost."""

import pytest

from benchmarks.comparison import budget
from benchmarks.comparison.records import read_runs
from benchmarks.comparison.settings import read
from benchmarks.comparison.summary import summarise

SETTINGS = read()


@pytest.fixture(scope="module")
def runs():
    return read_runs("cifar10")


@pytest.fixture(scope="module")
def found(runs):
    return budget.costs(SETTINGS.on("cifar10"), "cifar10", runs)


def test_the_teacher_counts(found):
    """A method costs its own steps, and one with a teacher a training of `standard` more."""
    assert found["pair"].total == 1
    assert found["fct-own"].total == pytest.approx(found["fct-own"].step + found["standard"].total)
    assert found["fct-own"].teacher == found["standard"].images
    assert found["fct"].teacher == 0
    assert 2.1 < found["fct-own"].total / found["pair-own"].total < 2.3


def test_half_the_images_cost_half(found):
    """The total follows what was forwarded, whatever the epochs were called."""
    assert found["augment-1x"].total == pytest.approx(found["augment-1x"].step / 2)


def test_twice_the_training_costs_twice(found):
    """An ablation that only trains longer has the step of its method; the step of any other was not timed."""
    assert found["pair-own-long"].total == pytest.approx(2 * found["pair-own"].total)
    assert found["pair-own-long"].step == found["pair-own"].step
    assert "fct-r-own-early" not in found
    assert "pair-low" not in found


def test_another_network_has_no_cost():
    """A step was timed with one network and one set of methods."""
    assert budget.steps(SETTINGS, "cifar10-narrow") == {}
    assert budget.steps(SETTINGS, "flowers") == {}
    assert budget.steps(SETTINGS, "fashion-mnist") == budget.steps(SETTINGS, "cifar10")


def test_the_fair_rival_is_trained_twice_as_long(runs, found):
    """Beside the method stands what costs as much in total, on the seeds that all have; cheaper methods do not."""
    told = summarise(runs, SETTINGS.on("cifar10"))
    text = budget.at_equal_cost(told, runs, found)
    shown = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert {"fct-own", "pair-own-long", "augment-2x-long", "distill-own"} <= shown
    assert not {"pair-own", "augment-2x"} & shown
    row = next(line for line in text.splitlines() if line.startswith("| `pair-own-long` "))
    raw = 100 * runs["pair-own-long"].records[0]["test"]["raw"]
    assert row.split(" | ")[1:5] == ["1.99", "no", "498 k", f"{raw:.1f}"]
    gap = 100 * (runs["fct-own"].records[0]["test"]["q10"] - runs["pair-own-long"].records[0]["test"]["q10"])
    row = next(line for line in text.splitlines() if line.startswith("| `fct-own` - `pair-own-long` "))
    assert row.split(" | ")[6] == f"{gap:+.1f}"


def test_nothing_is_compared_where_nothing_cheap_trains_longer(runs, found):
    """Without a method that has no teacher at that cost, there is no such table."""
    told = {"ours": "fct-own", "against": {}, "deviation": {}}
    few = {name: found[name] for name in ("fct-own", "distill-own", "pair-own")}
    assert budget.at_equal_cost(told, runs, few) == ""


def test_parameters_and_images_are_written_short():
    """Thousands of parameters, millions of images."""
    assert budget.thousands(4_424_208) == "4,424 k"
    assert budget.millions(958_464) == "0.96 M"
