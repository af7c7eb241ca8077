"""Whether lower distortion goes with less accuracy lost."""

from pathlib import Path

import pytest

from benchmarks.comparison.distortion import comparable, distortion_points, does_lower_distortion_help, rank_correlation
from benchmarks.comparison.records import read_runs
from benchmarks.comparison.settings import read

FINDINGS = (Path(__file__).parents[2] / "docs/results/findings.md").read_text()
SETTINGS = read()


def points(distortion, loss):
    return {
        str(number): {"distortion": x, "loss": y, "q10": -y}
        for number, (x, y) in enumerate(zip(distortion, loss, strict=True))
    }


def test_what_rises_together_has_the_correlation_1():
    """The ranks count, not how far apart the values are; two entries have none."""
    assert rank_correlation(points([0.1, 0.2, 0.9], [1, 30, 31]), "loss") == 1
    assert rank_correlation(points([0.1, 0.2, 0.9], [1, 30, 31]), "q10") == -1
    assert does_lower_distortion_help(points([0.1, 0.2], [1, 2])) == ""


def test_what_never_saw_all_qualities_is_left_out():
    """`standard`, the specialists and the long shot would be a blot beside all others."""
    runs = read_runs("cifar10")
    names = comparable(SETTINGS, runs)
    assert set(names) < set(runs)
    assert not {"standard", "specialist", "specialist-30", "specialist-50", "long-shot"} & set(names)
    assert {"pair", "fct-own", "fct-r-low"} <= set(names)


def test_a_point_is_what_the_tables_say():
    """Accuracy is in %, and the loss is that of Q10 against raw images."""
    runs = read_runs("cifar10", {"pair"})
    point = distortion_points(runs)["pair"]
    records = runs["pair"].records.values()
    raw, low = (100 * sum(each["test"][view] for each in records) / len(records) for view in ("raw", "q10"))
    assert point["q10"] == pytest.approx(low, abs=0.01)
    assert point["loss"] == pytest.approx(raw - low, abs=0.01)


@pytest.mark.parametrize(
    ("dataset", "title"),
    [("cifar10", "CIFAR-10"), ("cifar10-narrow", "CIFAR-10, half the width"), ("fashion-mnist", "Fashion-MNIST")],
)
def test_the_findings_quote_the_correlations(dataset, title):
    """A row of the page is what the runs give."""
    runs = read_runs(dataset)
    found = distortion_points({name: runs[name] for name in comparable(SETTINGS.on(dataset), runs)})
    loss, low = (rank_correlation(found, column) for column in ("loss", "q10"))
    assert f"| {title} | {loss:+.2f} | {low:+.2f} |" in FINDINGS
