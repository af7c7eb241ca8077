"""The `gate` section of params.yaml: its lines, and whether their slices are measured."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from fct.core.params import Section
from fct.evaluate.params import Direction, EvaluateParams, Unseen

Metric = Literal["accuracy", "agreement", "drop", "ece", "latency_ms", "parity", "file_mib"]
VIEW_METRICS: dict[str, Direction] = {  # metrics of views, and the good side of their thresholds
    "accuracy": "at least",
    "agreement": "at least",
    "drop": "at most",
    "ece": "at most",
}
FILE_METRICS = ("latency_ms", "parity", "file_mib")  # lower is better
Over = Literal["images", "trainings"]


class CheckParams(Section):
    """One line of the section `gate`: a slice of the views, a metric on it, and a threshold.

    slice       raw | q5, q10, ... (a quality of the sweep) | mean, worst (over the qualities) | worst-class (of their
                mean) | unseen, worst-unseen (over evaluate.unseen, except controls such as bgr) | one of
                evaluate.unseen
    metric      accuracy | agreement (with the prediction on the raw image) | drop (of accuracy, from raw) | ece
                (expected calibration error); without a slice latency_ms (one image), parity (largest |logit difference|
                from torch), file_mib
    at_least,   the threshold that the lower bound of the interval must reach, or that the upper bound must not exceed.
    at_most     The opposite key demands a visible harm: { slice: bgr, metric: drop, at_least: 0.05 }
    champion    instead of a threshold: how much worse than the champion the model may be, on the bound of the paired
                difference
    over        images: the line is about this model, and its interval about the images that it was measured on |
                trainings: it is about the mean of several trainings of the configuration, and its interval about
                trainings and images
    """

    slice: str | None = None
    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    champion: float | None = Field(default=None, ge=0)
    over: Over = "images"

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.metric in FILE_METRICS and self.slice is not None:
            raise ValueError(f"{self.metric} is a value of the file: leave out slice")
        if self.metric in VIEW_METRICS and self.slice is None:
            raise ValueError(f"{self.metric} needs a slice: raw, mean, worst, q10, ...")
        if self.slice == "raw" and self.metric in ("agreement", "drop"):
            raise ValueError(f"{self.metric} compares with raw: name another slice")
        allowed = ["at_most"] if self.metric in FILE_METRICS else ["at_least", "at_most", "champion"]
        bounds = [name for name in ("at_least", "at_most", "champion") if getattr(self, name) is not None]
        if len(bounds) != 1 or bounds[0] not in allowed:
            present = " and ".join(bounds) or "none"
            raise ValueError(f"{self.metric} takes one of {', '.join(allowed)} (not {present})")
        bound = getattr(self, bounds[0])
        is_share, smallest = self.metric in VIEW_METRICS, -1 if self.metric == "drop" else 0
        if bound < smallest or (is_share and bound > 1):
            if not is_share:
                raise ValueError(f"{bounds[0]}: {bound:g} is not possible, as {self.metric} is 0 or more")
            percent = f". Write {bound / 100:g} for {bound:g} %" if 1 < bound <= 100 else ""
            raise ValueError(
                f"{bounds[0]}: {bound:g} is not possible, as {self.metric} is a share from {smallest} to 1{percent}"
            )
        if self.over == "trainings" and self.slice is None:
            raise ValueError(f"{self.metric} is a value of the file: leave out over: trainings")
        if self.over == "trainings" and self.champion is not None:
            raise ValueError(
                "over: trainings takes at_least or at_most, not champion, since the champion's trainings are not known"
            )
        return self

    @property
    def direction(self) -> Direction:
        """The good side of the threshold."""
        if self.at_least is not None:
            return "at least"
        if self.at_most is not None:
            return "at most"
        return VIEW_METRICS.get(self.metric, "at most")

    @property
    def threshold(self) -> float:
        """The threshold of the value, or of the difference from the champion, with the sign of the difference."""
        if self.champion is not None:
            return -self.champion if self.direction == "at least" else self.champion
        return next(bound for bound in (self.at_least, self.at_most) if bound is not None)

    @property
    def value_name(self) -> str:
        """The name of what is measured, whatever it is compared with."""
        name = self.metric if self.slice is None else f"{self.slice}_{self.metric}"
        if self.direction != VIEW_METRICS.get(self.metric, "at most"):
            name += f"_{self.direction.replace(' ', '_')}"  # on the bad side, where another part may be the worst
        return name

    @property
    def name(self) -> str:
        """The name of the check in verdicts, tables and metrics."""
        kind = "_vs_champion" if self.champion is not None else ""
        return f"{self.value_name}{kind}{'_over_trainings' if self.over == 'trainings' else ''}"


class Fp32Check(CheckParams):
    """A line that compares an 8-bit file with the 32-bit file that it was made from."""

    @property
    def name(self) -> str:
        """The name of the check in verdicts, tables and metrics."""
        return super().name.replace("_vs_champion", "_vs_fp32")


def _check_lines(checks: list[CheckParams]) -> list[CheckParams]:
    names = [check.name for check in checks]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{duplicate} is checked twice; keep the stricter line")
    if all(check.champion is not None for check in checks):
        raise ValueError(
            "all lines compare with a champion, and the first model has none. Add a line with at_least or at_most"
        )
    return checks


GateParams = Annotated[list[CheckParams], Field(min_length=1), AfterValidator(_check_lines)]


def int8_lines(lines: Sequence[CheckParams], max_drop: float) -> tuple[list[CheckParams], CheckParams]:
    """Return the lines that an 8-bit file must pass, and the line against the file that it was made from.

    They are the lines of the gate, with two exceptions. Parity is left out, since an 8-bit file does not compute the
    same as torch. Lines over trainings are left out, since those models have no 8-bit form.

    Args:
        lines: the lines of the gate.
        max_drop: the mean accuracy over the qualities that the 8-bit file may lose.
    """
    against = Fp32Check(slice="mean", metric="accuracy", champion=max_drop)
    return [line for line in lines if line.metric != "parity" and line.over == "images"], against


def slice_problem(check: CheckParams, evaluate: EvaluateParams) -> str | None:
    """Return what is wrong with a check's slice, or None. `evaluate` says which views are measured."""
    measured = {"raw", "mean", "worst", "worst-class", *(f"q{quality}" for quality in evaluate.qualities)}
    measured |= set(evaluate.unseen)
    if evaluate.judged_unseen:
        measured |= {"unseen", "worst-unseen"}
    if check.slice is None or check.slice in measured:
        return None
    names = f"name one of {', '.join(sorted(measured))}"
    if re.fullmatch(r"q\d+", check.slice):
        return f"{check.slice!r} is not measured. Add {check.slice[1:]} to evaluate.qualities, or {names}."
    if check.slice in get_args(Unseen):
        return f"{check.slice!r} is not measured. Add it to evaluate.unseen, or {names}."
    if check.slice in ("unseen", "worst-unseen"):
        content = "names only controls. Add another" if evaluate.unseen else "is empty. Add a distortion"
        return f"{check.slice!r} is about evaluate.unseen, which {content}, or {names}."
    near = difflib.get_close_matches(check.slice, [*measured, *get_args(Unseen)], n=1)
    return f"there is no slice {check.slice!r}. " + (f"Did you mean {near[0]!r}?" if near else f"{names.capitalize()}.")
