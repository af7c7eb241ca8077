"""The gain from the method: how much more accurate the model is than `standard`, on the same images."""

from __future__ import annotations

from fct.evaluate.intervals import Estimate
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.measures import count_images, measure_difference
from fct.gate.params import CheckParams
from fct.report.units import signed_interval


def differences(own: Predictions, standard: Predictions, evaluate: EvaluateParams) -> list[dict[str, str]]:
    """Return the paired differences of accuracy, in points, with their intervals.

    Only the quality with the lowest bound is shown, as in the slice `worst` of the gate.
    """

    def compare(slice_name: str) -> Estimate:
        line = CheckParams(slice=slice_name, metric="accuracy", champion=0)
        return measure_difference(line, own, standard, evaluate)

    qualities = {f"q{quality}": compare(f"q{quality}") for quality in own.qualities}
    least = min(qualities, key=lambda view: (qualities[view].low, qualities[view].value))
    slices = {
        "raw": "raw images",
        "mean": "mean over the qualities",
        least: f"quality {least[1:]}, where it gains least",
    }
    if evaluate.judged_unseen:
        slices["unseen"] = "unseen distortions"
    estimates = {name: qualities.get(name) or compare(name) for name in slices}
    return [
        {
            "accuracy on": title,
            "difference, points": signed_interval(estimates[name]),
            "images": f"{count_images(name, own):,}",
            "the model is": _word(estimates[name]),
        }
        for name, title in slices.items()
    ]


def _word(estimate: Estimate) -> str:
    if estimate.low > 0:
        return "better"
    return "worse" if estimate.high < 0 else "not distinguishable"
