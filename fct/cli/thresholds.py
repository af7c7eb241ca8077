"""The command `fct thresholds`: derives thresholds of the gate from the network without robustness."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fct.cli.guess import no_better_than_chance
from fct.core.errors import FctError
from fct.core.params import Section, load
from fct.core.paths import PARAMS, STANDARD_ONNX
from fct.evaluate.model_file import model_bytes
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.evaluate.sweep import predict_views
from fct.gate.footprint import MIB
from fct.gate.measures import count_images, measure
from fct.gate.params import CheckParams, GateParams
from fct.splits.params import JpegParams
from fct.splits.store import Split, open_split, read_meta

MAY_LOSE = 0.01  # accuracy or calibration that robustness may cost
FOLLOWING = {("accuracy", "at least"), ("ece", "at most")}
GROWTH = 1.25  # factor by which blocks may enlarge the file


class Params(Section):
    """The sections of params.yaml that `fct thresholds` reads."""

    jpeg: JpegParams
    evaluate: EvaluateParams
    gate: GateParams


class Threshold(NamedTuple):
    """A line of the gate, what `standard` has there, and the threshold that follows."""

    key: str  # of params.yaml, such as gate.0.at_least
    line: CheckParams
    value: float
    threshold: float


def propose_thresholds(path: Path = PARAMS) -> list[Threshold]:
    """Measure `standard` on validation images by the lines of the gate; return thresholds that follow from it.

    A line about accuracy or calibration (ece) allows the candidate to be one point worse than `standard`, raw or
    compressed. It also allows for the uncertainty of the gate's number of images for that line, so that `standard`
    itself would pass. The file may be a quarter larger than that of `standard`. Other lines stay. stderr warns if
    `standard` is no better than chance, or a threshold is below it.

    Raises:
        FctError: `standard` has not been exported yet.
    """
    params = load(Params, path)
    if not STANDARD_ONNX.is_file():
        raise FctError(f"{STANDARD_ONNX} is not here. Make it with `dvc repro export@standard`.")
    val, gate = open_split("val"), open_split("gate")
    predictions = predict_views(STANDARD_ONNX, val, params.evaluate, params.jpeg.subsampling)
    proposals = []
    for index, line in enumerate(params.gate):
        if line.metric == "file_mib" and line.at_most is not None:
            size = model_bytes(STANDARD_ONNX) / MIB
            proposals.append(Threshold(f"gate.{index}.at_most", line, size, _round_up(GROWTH * size)))
        elif (line.metric, line.direction) in FOLLOWING and line.champion is None and line.over == "images":
            estimate = measure(line, predictions, params.evaluate)
            factor = _more_images(line, predictions, gate, params.evaluate)
            of_gate = estimate.with_more(factor) if estimate.with_more else estimate
            if line.direction == "at least":
                threshold = math.floor(100 * max(0.0, of_gate.low - MAY_LOSE)) / 100
            else:
                threshold = math.ceil(100 * min(1.0, of_gate.high + MAY_LOSE)) / 100
            key = line.direction.replace(" ", "_")
            proposals.append(Threshold(f"gate.{index}.{key}", line, estimate.value, threshold))
    if doubt := _doubt(proposals, predictions.classes[0] == val.labels, len(read_meta()["classes"])):
        print(f"warning: {doubt}", file=sys.stderr)
    return proposals


def _doubt(proposals: Sequence[Threshold], right: NDArray[np.bool_], classes: int) -> str | None:
    """Return why thresholds prove little, or None.

    Args:
        proposals: the thresholds.
        right: [N], which predictions of `standard` on raw images are right.
        classes: their number.
    """
    if chance := no_better_than_chance(right, classes):
        return f"{STANDARD_ONNX}: {chance}. These thresholds prove nothing: train it longer."
    low = [each.key for each in proposals if each.line.metric == "accuracy" and each.threshold < 1 / classes]
    if low:
        return f"{', '.join(low)}: below chance ({1 / classes:.2g}), where a model that guesses may pass. Ask for more."
    return None


def _more_images(line: CheckParams, val: Predictions, gate: Split, evaluate: EvaluateParams) -> float:
    """Return how many times as many images the slice of a line has in the gate split as in `val`."""
    images = len(gate)
    if line.slice in ("unseen", "worst-unseen", *evaluate.unseen):  # a sample, which does not grow with the split
        images = len(gate.every(gate.step(evaluate.unseen_images or images)))
    return images / count_images(line.slice, val)


def _round_up(size: float) -> float:
    """Return a number rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(size)) - 1)
    return round(math.ceil(size / unit) * unit, 6)
