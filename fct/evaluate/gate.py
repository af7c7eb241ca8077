"""The gate: whether an exported model is good enough to be promoted.

Accuracies are judged on the bound of their confidence interval, not on the point: a model passes when it is shown to
reach the floor, not when it may have been lucky. File size and parity are exact; their bounds are the value itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from fct.evaluate.intervals import Estimate, Summary
from fct.evaluate.params import GateParams

MIB = 1 << 20  # bytes


@dataclass(frozen=True)
class Check:
    """One measured value held against one threshold."""

    name: str
    estimate: Estimate
    threshold: float
    direction: Literal["at least", "at most"]

    @property
    def passed(self) -> bool:
        """Whether the whole interval is on the right side of the threshold, which itself is on it."""
        if self.direction == "at least":
            return self.estimate.low >= self.threshold
        return self.estimate.high <= self.threshold

    def as_json(self) -> dict[str, Any]:
        """Return the check as it stands in the verdict."""
        return {
            "name": self.name,
            **self.estimate.as_json(),
            "threshold": self.threshold,
            "direction": self.direction,
            "passed": self.passed,
        }


def judge(measured: Summary, *, parity: float, file_bytes: int, thresholds: GateParams) -> list[Check]:
    """Hold what was measured against the thresholds.

    Args:
        measured: the sweep over the gate split.
        parity: largest |logit difference| between the exported file and the torch model.
        file_bytes: size of the exported file.
        thresholds: the thresholds.
    """
    return [
        Check("clean", measured.raw, thresholds.clean, "at least"),
        Check("mean", measured.mean, thresholds.mean, "at least"),
        Check("worst", measured.worst, thresholds.worst, "at least"),
        Check("parity", _exactly(parity), thresholds.parity, "at most"),
        Check("file_mib", _exactly(file_bytes / MIB), thresholds.file_mib, "at most"),
    ]


def verdict(
    checks: Sequence[Check], *, model_sha256: str, images: int, digest: str, confidence: float
) -> dict[str, Any]:
    """Return the verdict as metrics/gate.json holds it; promotion reads nothing else.

    Args:
        checks: all of them must pass.
        model_sha256: of the file that was judged.
        images: number of images in the gate split.
        digest: of the gate split.
        confidence: of the intervals.
    """
    return {
        "verdict": "PASS" if all(check.passed for check in checks) else "FAIL",
        "model_sha256": model_sha256,
        "split": {"name": "gate", "images": images, "digest": digest},
        "confidence": confidence,
        "checks": [check.as_json() for check in checks],
    }


def metrics(found: dict[str, Any]) -> dict[str, float]:
    """Return a verdict as numbers for a tracking server: each check's value, and 1 for passed or 0 for failed."""
    numbers: dict[str, float] = {"gate_passed": found["verdict"] == "PASS"}
    for check in found["checks"]:
        numbers[f"gate_{check['name']}"] = check["value"]
        numbers[f"gate_{check['name']}_passed"] = check["passed"]
    return numbers


def table(found: dict[str, Any], *, colour: bool) -> str:
    """Return a verdict as lines for a person, PASS in green and FAIL in red where `colour`."""
    confidence, images = found["confidence"], found["split"]["images"]
    lines = [f"{'check':<10}{'value':>9}   {f'{100 * confidence:g}% interval':<20}{'needed':<17}"]
    for check in found["checks"]:
        exact = check["low"] == check["high"]
        interval = "" if exact else f"{check['low']:.4f} to {check['high']:.4f}"
        needed = f"{check['direction']} {check['threshold']:.4g}"
        word = _word("PASS" if check["passed"] else "FAIL", colour=colour)
        lines.append(f"{check['name']:<10}{check['value']:>9.4g}   {interval:<20}{needed:<17}{word}")
    lines.append(
        f"gate: {_word(found['verdict'], colour=colour)} on {images:,} images, model {found['model_sha256'][:12]}"
    )
    return "\n".join(lines)


def wants_colour(stream: TextIO) -> bool:
    """Return whether to colour what is written to `stream`: a terminal, and NO_COLOR (no-color.org) not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _exactly(value: float) -> Estimate:
    return Estimate(value, value, value)


def _word(word: str, *, colour: bool) -> str:
    return f"\033[{32 if word == 'PASS' else 31}m{word}\033[0m" if colour else word
