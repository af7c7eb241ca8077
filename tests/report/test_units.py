"""The page writes shares in percent and differences in points."""

import pytest

from fct.evaluate.intervals import Estimate
from fct.report.units import as_measured, interval, signed_interval


@pytest.mark.parametrize(
    ("check", "value", "text"),
    [
        ("raw_accuracy", 0.85, "85.0 %"),
        ("mean_accuracy_over_trainings", 0.85, "85.0 %"),
        ("worst-class_agreement", 0.5, "50.0 %"),
        ("mean_ece", 0.012, "1.2 %"),
        ("bgr_accuracy_at_most", 0.3, "30.0 %"),
        ("bgr_drop_at_least_over_trainings", 0.25, "+25.0 points"),
        ("webp_drop", 0.02, "+2.0 points"),
        ("mean_accuracy_vs_champion", -0.01, "-1.0 points"),
        ("mean_ece_vs_fp32", 0.001, "+0.1 points"),
        ("latency_ms", 1.5, "1.5 ms"),
        ("file_mib", 0.5, "0.5 MiB"),
        ("parity", 1e-6, "1e-06"),
    ],
)
def test_a_check_has_the_unit_of_its_metric(check, value, text):
    """Shares in percent, differences of shares in points, values of the file in their own unit."""
    assert as_measured(check, value) == text


@pytest.mark.parametrize(("threshold", "text"), [(0.82, "82 %"), (0.8275, "82.75 %"), (0.0005, "0.05 %")])
def test_a_threshold_is_not_rounded(threshold, text):
    """It is written as params.yaml has it, but in percent."""
    assert as_measured("raw_accuracy", threshold, rounded=False) == text


def test_intervals_are_on_the_scale_of_percent():
    """A share has a tenth of a percent, a difference its sign."""
    assert interval(Estimate(0.85, 0.8, 0.9)) == "85.0 (80.0 to 90.0)"
    assert signed_interval(Estimate(0.01, -0.005, 0.02)) == "+1.00 (-0.50 to +2.00)"
