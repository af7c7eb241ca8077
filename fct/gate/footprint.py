"""Measures the cost of an exported model in deployment: the size of its file, and the time for one image."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fct.evaluate.intervals import Estimate, exact, student
from fct.evaluate.model import Model
from fct.evaluate.model_file import model_bytes
from fct.evaluate.params import EvaluateParams
from fct.gate.params import CheckParams
from fct.splits.store import Split

MIB = 1 << 20  # bytes
ROUNDS = 200  # images, one after the other
WARM_UP = 20  # images before them that are not counted
LEFT_OUT = 0.05  # share of the rounds to leave out: the slowest ones, which the machine's other work delayed


def footprint(model: Model, split: Split, lines: Sequence[CheckParams], params: EvaluateParams) -> dict[str, Estimate]:
    """Return the values of the model's files by metric. The latency is measured only if a line of the gate needs it.

    The arguments are those of `latency`.
    """
    values = {"file_mib": exact(model_bytes(model.path) / MIB)}
    if any(line.metric == "latency_ms" for line in lines):
        values["latency_ms"] = latency(model, split, params)
    return values


def latency(model: Model, split: Split, params: EvaluateParams) -> Estimate:
    """Return the mean milliseconds for one image on one thread, with its interval. It depends on the machine.

    Args:
        model: it must have predicted such images before.
        split: the source of the images.
        params: confidence of the interval.
    """
    times = []
    for index in range(WARM_UP + ROUNDS):
        row = slice(index % len(split), index % len(split) + 1)
        begin = time.perf_counter()
        model.adapter.logits(model.session, split.images[row], split.quality[row])
        times.append(1000 * (time.perf_counter() - begin))
    fastest = np.sort(times[WARM_UP:])[: round(ROUNDS * (1 - LEFT_OUT))]
    return student(fastest, params.confidence)
