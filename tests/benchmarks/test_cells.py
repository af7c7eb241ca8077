"""How tables write differences: with intervals, of one seed without, and many of them at once."""

import pytest

from benchmarks.comparison.cells import STAYS, accuracy, columns_of, difference, differences, paired

REAL = {"mean": 0.02, "low": 0.01, "high": 0.03, "p": 1e-4}
CHANCE = {"mean": 0.01, "low": 0.001, "high": 0.02, "p": 0.04}
LEVEL = {"mean": 0.01, "low": -0.01, "high": 0.03, "p": 0.3}


def told(gap, seeds=(0, 1, 2), **more):
    """Return the summary of a method that differs by `gap` from `pair`."""
    return {"versus": {"method": "pair", "seeds": list(seeds), "raw": gap, **more}}


@pytest.mark.parametrize(
    ("gap", "written"),
    [
        (REAL, "**+2.0 [+1.0, +3.0]**"),
        (LEVEL, "+1.0 [-1.0, +3.0]"),
        ({"mean": -0.004}, "-0.4"),
        (None, "-"),
    ],
)
def test_a_difference_is_bold_where_its_interval_excludes_0(gap, written):
    """One without an interval never is."""
    assert difference(gap) == written


def test_an_accuracy_of_one_seed_has_no_interval():
    """With several seeds it has one, in %."""
    assert accuracy({"mean": 0.9, "low": 0.89, "high": 0.91}) == "90.0 [89.0, 91.0]"
    assert accuracy({"mean": 0.9}) == "90.0"
    assert accuracy(None) == "-"


def test_a_table_says_how_many_differences_it_makes():
    """What Holm's correction over all of them leaves is marked; a bold one may be left out."""
    rows = [([name], told(gap)["versus"]) for name, gap in (("a", REAL), ("b", CHANCE), ("c", LEVEL))]
    said, _, _, _, *lines = paired(["compared"], rows, {"raw": "raw"}).splitlines()
    assert said.startswith("3 differences: if none were real, chance would make about 0 of them bold.")
    assert f"leaves 1, with {STAYS}." in said
    assert [STAYS in line for line in lines] == [True, False, False]
    assert ["**" in line for line in lines] == [True, True, False]


def test_a_difference_that_a_row_lacks_is_not_counted():
    """A method trained on noise has no difference under noise."""
    rows = [(["a"], told(REAL, noise=LEVEL)["versus"]), (["b"], told(REAL)["versus"])]
    text = paired(["compared"], rows, {"raw": "raw", "noise": "noise"})
    assert text.startswith("3 differences")
    assert text.splitlines()[-1].endswith("| - |")


def test_rows_of_one_seed_have_a_table_of_their_own():
    """It has no interval, and a last row that says what seeds alone do; the other table does not count its rows."""
    text = differences({"a": told(REAL), "b": told({"mean": 0.013}, [0])}, "versus", {"raw": 0.004})
    several, _, single = text.partition("Of one seed, so without intervals.")
    assert several.startswith("1 differences")
    assert "`a` - `pair` | 3 | **" in several
    assert "`b`" not in several
    assert "| `b` - `pair` | 1 | +1.3 |" in single
    assert single.splitlines()[-1].startswith("| standard deviation over seeds |  | 0.4 |")
    assert "[" not in single


def test_columns_are_those_that_any_row_has():
    """JPEG qualities always, an unseen distortion where it was measured."""
    assert "noise" in columns_of([{"noise": LEVEL}, {}])
    assert "noise" not in columns_of([{}])
