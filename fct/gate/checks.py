"""The gate: whether an exported model is good enough to be promoted.

Every line of params.yaml's `gate` is a check, and all must pass: since each must, no correction for their number is
needed (an intersection-union test). What is measured on images is judged on the bound of its confidence interval, not
on the point: a model passes when it is shown to keep to the threshold, not when it may have been lucky. File size and
parity are exact; their bounds are the value itself.

Lines with `champion` are judged where a champion is at hand: by `fct promote`, not by the stage.
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
from fct.gate.measures import measure, measure_difference
from fct.gate.params import CheckParams, slice_problem


@dataclass(frozen=True)
class Check:
    """One measured value held against one threshold."""

    name: str
    estimate: Estimate
    threshold: float
    direction: Direction
    images: int  # that it was measured on; 0 where it is exact

    @property
    def passed(self) -> bool:
        """Whether the whole interval is on the right side of the threshold, which itself is on it."""
        if self.direction == "at least":
            return self.estimate.low >= self.threshold
        return self.estimate.high <= self.threshold

    @property
    def images_to_settle(self) -> int | None:
        """About how many images would tell the value from the threshold; None where these do, or none would.

        Intervals narrow with the square root of the number of images.
        """
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        distance = abs(value - self.threshold)
        reach = value - low if value > self.threshold else high - value  # of the interval, towards the threshold
        if not self.images or not distance or reach <= distance:
            return None
        return math.ceil(self.images * (reach / distance) ** 2)

    def as_json(self) -> dict[str, Any]:
        """Return the check as it stands in the verdict."""
        return {
            "name": self.name,
            **self.estimate.as_json(),
            "threshold": self.threshold,
            "direction": self.direction,
            "passed": self.passed,
            "images_to_settle": self.images_to_settle,
        }


def refuse_unmeasured_slices(lines: Sequence[CheckParams], measured: EvaluateParams, path: Path = PARAMS) -> None:
    """Refuse a line of `path`'s gate about views that are not measured.

    Raises:
        FctError: it names the line and what there is instead.
    """
    for index, line in enumerate(lines):
        if wrong := slice_problem(line, measured):
            raise FctError(f"{location('gate', index, 'slice', path=path)}: {wrong}.")


def check_lines(
    lines: Sequence[CheckParams], answers: Predictions, of_file: Mapping[str, Estimate], how: EvaluateParams
) -> list[Check]:
    """Hold what was measured against the lines of the gate, but for those that need a champion.

    Args:
        lines: of the gate.
        answers: of the model, on the gate split.
        of_file: what was measured of the file, by metric.
        how: confidence, and resamples and seed of the bootstrap.
    """
    checks = []
    for line in lines:
        if line.champion is None:
            estimate = of_file[line.metric] if line.slice is None else measure(line, answers, how)
            images = 0 if line.slice is None else len(answers.labels)
            checks.append(Check(line.name, estimate, line.threshold, line.direction, images))
    return checks


def check_against(
    lines: Sequence[CheckParams], answers: Predictions, champion: Predictions, how: EvaluateParams
) -> list[Check]:
    """Hold a model against a champion on the same images: the lines of the gate that `judge` leaves out."""
    return [
        Check(
            line.name,
            measure_difference(line, answers, champion, how),
            line.threshold,
            line.direction,
            len(answers.labels),
        )
        for line in lines
        if line.champion is not None
    ]


def verdict(
    checks: Sequence[Check], *, model_sha256: str, images: int, digest: str, how: EvaluateParams
) -> dict[str, Any]:
    """Return the verdict as metrics/gate.json holds it; promotion reads nothing else.

    Args:
        checks: all of them must pass.
        model_sha256: of the file that was judged.
        images: number of images in the gate split.
        digest: of the gate split.
        how: it was measured.
    """
    return {
        "verdict": "PASS" if all(check.passed for check in checks) else "FAIL",
        "model_sha256": model_sha256,
        "split": {"name": "gate", "images": images, "digest": digest},
        **how.conditions,
        "checks": [check.as_json() for check in checks],
    }


def metrics(found: dict[str, Any]) -> dict[str, float]:
    """Return a verdict as numbers for a tracking server: each check's value, and 1 for passed or 0 for failed."""
    numbers: dict[str, float] = {"gate_passed": found["verdict"] == "PASS"}
    for check in found["checks"]:
        numbers[f"gate_{check['name']}"] = check["value"]
        numbers[f"gate_{check['name']}_passed"] = check["passed"]
    return numbers


def format_verdict(found: dict[str, Any], *, colour: bool) -> str:
    """Return a verdict as lines for a person, PASS in green and FAIL in red where `colour`."""
    confidence, images = found["confidence"], found["split"]["images"]
    width = max(len(check["name"]) for check in found["checks"]) + 1
    lines = [f"{'check':<{width}}{'value':>9}   {f'{100 * confidence:g}% interval':<20}{'needed':<17}"]
    for check in found["checks"]:
        exact = check["low"] == check["high"]
        interval = "" if exact else f"{check['low']:.4f} to {check['high']:.4f}"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        word = _word("PASS" if check["passed"] else "FAIL", colour=colour)
        lines.append(
            f"{check['name']:<{width}}{check['value']:>9.4g}   {interval:<20}{needed:<17}{word}{closeness(check)}"
        )
    lines.append(
        f"gate: {_word(found['verdict'], colour=colour)} on {images:,} images, model {found['model_sha256'][:12]}"
    )
    return "\n".join(lines)


def closeness(check: Mapping[str, Any]) -> str:
    """Return what to say of a check that is too close to call, or nothing."""
    needed = check.get("images_to_settle")
    return f"  too close to call: about {_rounded(needed):,} images would settle it" if needed else ""


def wants_colour(stream: TextIO) -> bool:
    """Return whether to colour what is written to `stream`: a terminal, and NO_COLOR (no-color.org) not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _rounded(number: int) -> int:
    """Return a number to two digits, upwards: more would pretend."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit


def _word(word: str, *, colour: bool) -> str:
    return f"\033[{32 if word == 'PASS' else 31}m{word}\033[0m" if colour else word
