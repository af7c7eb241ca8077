"""The `gate` section of params.yaml: its lines, and how they fit what is measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fct.core.params import Section
from fct.evaluate.params import Direction, EvaluateParams

Metric = Literal["accuracy", "agreement", "drop", "ece", "latency_ms", "parity", "file_mib"]
OF_VIEWS: dict[str, Direction] = {"accuracy": "at least", "agreement": "at least", "drop": "at most", "ece": "at most"}
OF_FILE = ("latency_ms", "parity", "file_mib")  # the less the better


class CheckParams(Section):
    """One line of the section `gate`: a slice of the views, a metric of it, and the bound that it must keep to.

    slice       raw | q5, q10, ... (a quality of the sweep) | mean, worst (over the qualities) | worst-class (of their
                mean) | unseen, worst-unseen (over evaluate.unseen) | one of evaluate.unseen
    metric      accuracy | agreement (with the prediction on the raw image) | drop (of accuracy, from raw) | ece
                (expected calibration error); without a slice latency_ms (one image), parity (largest |logit difference|
                from torch), file_mib
    at_least,   what the bound of the interval must reach, or stay below
    at_most
    champion    instead: how much worse than the champion it may be, on the bound of the paired difference
    """

    slice: str | None = None
    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    champion: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.metric in OF_FILE and self.slice is not None:
            raise ValueError(f"{self.metric} is of the file: it has no slice")
        if self.metric in OF_VIEWS and self.slice is None:
            raise ValueError(f"{self.metric} needs a slice: raw, mean, worst, q10, ...")
        if self.slice == "raw" and self.metric in ("agreement", "drop"):
            raise ValueError(f"{self.metric} is held against raw itself: name another slice")
        key = self.direction.replace(" ", "_")
        allowed = [key] if self.metric in OF_FILE else [key, "champion"]
        given = [name for name in ("at_least", "at_most", "champion") if getattr(self, name) is not None]
        if len(given) != 1 or given[0] not in allowed:
            told = " and ".join(given) or "none"
            raise ValueError(f"{self.metric} takes one of {' and '.join(allowed)} (not {told})")
        return self

    @property
    def direction(self) -> Direction:
        """Which side of the threshold is the good one."""
        return OF_VIEWS.get(self.metric, "at most")

    @property
    def threshold(self) -> float:
        """The bound, or how much worse than the champion is allowed, signed as the difference is."""
        if self.champion is not None:
            return -self.champion if self.direction == "at least" else self.champion
        return next(each for each in (self.at_least, self.at_most) if each is not None)

    @property
    def name(self) -> str:
        """What the check is called in verdicts, tables and metrics."""
        of = self.metric if self.slice is None else f"{self.slice}_{self.metric}"
        return of if self.champion is None else f"{of}_vs_champion"


class Fp32Check(CheckParams):
    """A line that is held against the file which an 8-bit one was made of, in the champion's place."""

    @property
    def name(self) -> str:
        """What the check is called."""
        return super().name.replace("_vs_champion", "_vs_fp32")


def _each_once(checks: list[CheckParams]) -> list[CheckParams]:
    names = [check.name for check in checks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is checked twice; keep the stricter line")
    if all(check.champion is not None for check in checks):
        raise ValueError(
            "every line needs a champion: add one with a threshold, which the first model can be judged by"
        )
    return checks


GateParams = Annotated[list[CheckParams], Field(min_length=1), AfterValidator(_each_once)]


def int8_lines(lines: Sequence[CheckParams], max_drop: float) -> tuple[list[CheckParams], CheckParams]:
    """Return the lines that an 8-bit file must pass, and the one against the file that it was made of.

    They are the gate's but for parity, which is of a file that computes what torch does.

    Args:
        lines: of the gate.
        max_drop: accuracy, mean over the qualities, that it may lose.
    """
    against = Fp32Check(slice="mean", metric="accuracy", champion=max_drop)
    return [line for line in lines if line.metric != "parity"], against


def slice_problem(check: CheckParams, evaluate: EvaluateParams) -> str | None:
    """Return what is wrong with a check's slice, given what is measured; None if nothing is."""
    known = {"raw", "mean", "worst", "worst-class", *(f"q{quality}" for quality in evaluate.qualities)}
    if evaluate.unseen:
        known |= {"unseen", "worst-unseen", *evaluate.unseen}
    if check.slice is None or check.slice in known:
        return None
    where = "evaluate.qualities" if re.fullmatch(r"q\d+", check.slice) else "evaluate.unseen"
    return f"{check.slice!r} is not measured. Add it to {where}, or name one of {', '.join(sorted(known))}"
