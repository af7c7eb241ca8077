"""How the page writes numbers: shares in percent, differences of shares in points, both on the scale 0..100."""

from __future__ import annotations

from fct.evaluate.intervals import Estimate
from fct.gate.params import VIEW_METRICS

DIFFERENCES = ("_vs_champion", "_vs_fp32")  # endings of names of checks
ENDINGS = ("_over_trainings", *DIFFERENCES, "_at_least", "_at_most")  # in the order in which they are removed
FILE_UNITS = {"latency_ms": " ms", "parity": "", "file_mib": " MiB"}


def interval(estimate: Estimate) -> str:
    """Return a share and its interval in percent, such as `85.0 (70.2 to 94.3)`."""
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def signed_interval(estimate: Estimate) -> str:
    """Return a difference of shares and its interval in points, such as `+1.25 (-0.50 to +3.00)`."""
    return f"{100 * estimate.value:+.2f} ({100 * estimate.low:+.2f} to {100 * estimate.high:+.2f})"


def share(value: float, digits: int = 1) -> str:
    """Return a share, 0..1, in percent, such as `85.0 %`."""
    return f"{100 * value:.{digits}f} %"


def as_measured(check: str, value: float, *, rounded: bool = True) -> str:
    """Return a value of the gate in the unit of its metric.

    Args:
        check: the name of the check, such as `raw_accuracy`, `mean_drop` or `file_mib`.
        value: as metrics/gate.json has it: shares and differences of them are 0..1.
        rounded: whether to round to a tenth, as for measured values; thresholds are written as in params.yaml.
    """
    name, difference = check, check.endswith(DIFFERENCES)
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    metric = name.rpartition("_")[2]
    if metric not in VIEW_METRICS:
        return f"{value:.4g}{FILE_UNITS.get(name, '')}"
    if difference or metric == "drop":
        return f"{100 * value:{'+.1f' if rounded else '+.6g'}} points"
    return share(value) if rounded else f"{100 * value:.6g} %"
