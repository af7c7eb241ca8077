"""Tables of what was probed."""

from types import SimpleNamespace

from benchmarks.comparison.probed import probed


def run(told=None, estimates=None, **renormed):
    """Return the runs of a method with two seeds, of which the second's norms gain 2 points more."""

    def record(more):
        probes = {"renormed": {quality: value + more for quality, value in renormed.items()}}
        probes |= {"told": told} if told else {}
        probes |= {"estimates": estimates} if estimates else {}
        return {"validation": {"raw": 0.9, "q10": 0.5, "q90": 0.8}, "probes": probes}

    return SimpleNamespace(records={0: record(0.0), 1: record(0.02)})


def test_norms_are_held_against_those_of_the_training():
    """The gain is at the same quality, and the mean over seeds."""
    assert "| `pair` | +2.0 | -1.0 |" in probed({"pair": run(q10=0.51, q90=0.78)})


def test_without_probes_there_is_no_table():
    """Most data sets have none."""
    assert not probed({"pair": SimpleNamespace(records={0: {"validation": {}}})})


def test_blocks_are_shown_by_what_they_are_told():
    """At the lowest quality and over all; a method without blocks has no row."""
    told = {"q10": {"right": 0.6, "hidden": 0.5}, "q90": {"right": 0.8, "hidden": 0.8}}
    text = probed({"pair": run(q10=0.5, q90=0.8), "fct-r": run(told=told, q10=0.5, q90=0.8)})
    assert "At Q10, accuracy when blocks are told" in text
    assert "| method | right | hidden |" in text
    assert "| `fct-r` | 60.0 | 50.0 |" in text
    assert "| `fct-r` | 70.0 | 65.0 |" in text
    assert text.count("| `pair` |") == 1


def test_estimates_are_quantiles_of_each_quality():
    """They are rounded to whole qualities."""
    text = probed({"fct-r": run(estimates={"q10": [1.2, 8.0, 19.6], "q90": [80, 91, 99]}, q10=0.5, q90=0.8)})
    assert "| `fct-r` | 1 / 8 / 20 | 80 / 91 / 99 |" in text
