"""The checks of the gate and their verdict: whether an exported model is good enough for a promotion.

Every line of params.yaml's `gate` is a check, and all checks must pass. Because of that, their number needs no
correction (an intersection-union test). A value that is measured on images is judged on the bound of its confidence
interval, not on the value itself. A model therefore passes only if the images show that it keeps to the threshold. File
size and parity are exact: their bounds are the value itself.

`fct promote` judges the lines with `champion`, not this stage.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fct.core.errors import FctError
from fct.core.params import location
from fct.core.paths import PARAMS
from fct.evaluate.intervals import Estimate
from fct.evaluate.params import Direction, EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.measures import count_images, measure, measure_difference, measure_trainings
from fct.gate.params import CheckParams, slice_problem

PRECISION = 0.005  # relative precision of the number of images that would settle a check
MOST_IMAGES = 1_000_000  # nobody has a larger gate split, so no message asks for one


@dataclass(frozen=True)
class Check:
    """A measured value and the threshold that it must keep to."""

    name: str
    estimate: Estimate
    threshold: float
    direction: Direction
    images: int  # number of images that it was measured on; 0 for an exact value

    @property
    def passed(self) -> bool:
        """Whether the whole interval is on the good side of the threshold. The threshold itself is good."""
        if self.direction == "at least":
            return self.estimate.low >= self.threshold
        return self.estimate.high <= self.threshold

    @property
    def images_to_settle(self) -> int | None:
        """About how many images would decide the check. None if it is decided, or if no number would decide it."""
        more = self.estimate.with_more
        if not self.images or more is None or not self._is_open(self.estimate) or self.estimate.value == self.threshold:
            return None
        factor = 2.0
        while self._is_open(more(factor)):
            factor *= 2
        too_few, enough = factor / 2, factor
        while enough > too_few * (1 + PRECISION):
            factor = (too_few + enough) / 2
            too_few, enough = (factor, enough) if self._is_open(more(factor)) else (too_few, factor)
        return math.ceil(self.images * enough)

    def _is_open(self, estimate: Estimate) -> bool:
        """Return whether the true value may lie on either side of the threshold."""
        return estimate.low < self.threshold < estimate.high

    def as_json(self) -> dict[str, Any]:
        """Return the check in the format of the verdict."""
        return {
            "name": self.name,
            **self.estimate.as_json(),
            "threshold": self.threshold,
            "direction": self.direction,
            "passed": self.passed,
            "images": self.images,
            "part": self.estimate.part,
            "images_to_settle": self.images_to_settle,
        }


def refuse_unmeasured_slices(lines: Sequence[CheckParams], measured: EvaluateParams, path: Path = PARAMS) -> None:
    """Refuse a gate that has a line about views that are not measured.

    Raises:
        FctError: there is such a line. The message names the line in the file `path`, and the measured slices.
    """
    for index, line in enumerate(lines):
        if problem := slice_problem(line, measured):
            raise FctError(f"{location(f'gate.{index}.slice', path)}: {problem}")


def check_lines(
    lines: Sequence[CheckParams], predictions: Predictions, file_values: Mapping[str, Estimate], params: EvaluateParams
) -> list[Check]:
    """Judge a model by the lines of the gate that need neither a champion nor other trainings.

    Args:
        lines: the lines of the gate.
        predictions: the predictions of the model, on the gate split.
        file_values: values measured on the file itself, by metric.
        params: confidence of the intervals.
    """
    checks = []
    for line in lines:
        if line.champion is None and line.over == "images":
            estimate = file_values[line.metric] if line.slice is None else measure(line, predictions, params)
            images = 0 if line.slice is None else count_images(line.slice, predictions)
            checks.append(Check(line.name, estimate, line.threshold, line.direction, images))
    return checks


def check_against(
    lines: Sequence[CheckParams], predictions: Predictions, champion: Predictions, params: EvaluateParams
) -> list[Check]:
    """Judge a model by the lines of the gate that need a champion: compare the two on the same images."""
    return [
        Check(
            line.name,
            measure_difference(line, predictions, champion, params),
            line.threshold,
            line.direction,
            count_images(line.slice, predictions),
        )
        for line in lines
        if line.champion is not None
    ]


def check_trainings(
    lines: Sequence[CheckParams],
    predictions: Predictions,
    trainings: Mapping[str, Sequence[float]],
    params: EvaluateParams,
) -> list[Check]:
    """Judge a configuration by the lines of the gate that are over trainings.

    Such a check does not say how many images would settle it, since it may need more trainings instead.

    Args:
        lines: the lines of the gate.
        predictions: the predictions of the model, which is one of the trainings, on the gate split.
        trainings: values of at least 2 trainings, by `CheckParams.value_name`.
        params: confidence of the intervals.
    """
    return [
        Check(
            line.name,
            measure_trainings(line, predictions, trainings[line.value_name], params),
            line.threshold,
            line.direction,
            count_images(line.slice, predictions),
        )
        for line in lines
        if line.over == "trainings"
    ]


def verdict(
    checks: Sequence[Check], *, model_sha256: str, images: int, digest: str, params: EvaluateParams
) -> dict[str, Any]:
    """Return the verdict in the format of metrics/gate.json. Promotion reads nothing else.

    Args:
        checks: all of them must pass.
        model_sha256: of the judged file.
        images: number of images in the gate split.
        digest: the digest of the gate split.
        params: the parameters of the measurement.
    """
    return {
        "verdict": "PASS" if all(check.passed for check in checks) else "FAIL",
        "model_sha256": model_sha256,
        "split": {"name": "gate", "images": images, "digest": digest},
        **params.conditions,
        "checks": [check.as_json() for check in checks],
    }


def metrics(verdict: dict[str, Any]) -> dict[str, float]:
    """Return a verdict as numbers for a tracking server: the value of each check, and 1 if it passed or 0 if not."""
    numbers: dict[str, float] = {"gate_passed": verdict["verdict"] == "PASS"}
    for check in verdict["checks"]:
        numbers[f"gate_{check['name']}"] = check["value"]
        numbers[f"gate_{check['name']}_passed"] = check["passed"]
    return numbers


def format_verdict(verdict: dict[str, Any], *, colour: bool) -> str:
    """Return a verdict as a table for a terminal. With `colour`, PASS is green and FAIL is red."""
    confidence, images = verdict["confidence"], verdict["split"]["images"]
    names = [check["name"] + (f" ({check['part']})" if check.get("part") else "") for check in verdict["checks"]]
    width = max(map(len, names)) + 1
    lines = [f"{'check':<{width}}{'value':>9}   {f'{100 * confidence:g}% interval':<20}{'needed':<17}"]
    for name, check in zip(names, verdict["checks"], strict=True):
        exact = check["low"] == check["high"]
        interval = "" if exact else f"{check['low']:.4f} to {check['high']:.4f}"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        word = _word("PASS" if check["passed"] else "FAIL", colour=colour)
        lines.append(f"{name:<{width}}{check['value']:>9.4g}   {interval:<20}{needed:<17}{word}{closeness(check)}")
    sampled = [f"{check['name']} on {check['images']:,}" for check in verdict["checks"] if 0 < check["images"] < images]
    if sampled:
        lines.append(f"on fewer images: {', '.join(sampled)}")
    lines.append(
        f"gate: {_word(verdict['verdict'], colour=colour)} on {images:,} images, model {verdict['model_sha256'][:12]}"
    )
    return "\n".join(lines)


def closeness(check: Mapping[str, Any]) -> str:
    """Return a note for a check that is too close to call, or an empty text."""
    needed = check.get("images_to_settle")
    if not needed:
        return ""
    if needed > MOST_IMAGES:
        distance = abs(check["value"] - check["threshold"])
        return f"  images cannot settle it: the value is {distance:.2g} from the threshold"
    return f"  too close to call: about {_rounded(needed):,} images would settle it"


def wants_colour(stream: TextIO) -> bool:
    """Return whether to write colours to `stream`: it is a terminal, and NO_COLOR (no-color.org) is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _rounded(number: int) -> int:
    """Return a number rounded up to two digits; further digits would suggest too much precision."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit


def _word(word: str, *, colour: bool) -> str:
    return f"\033[{32 if word == 'PASS' else 31}m{word}\033[0m" if colour else word
