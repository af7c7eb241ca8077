"""What an exported model costs where it is deployed: the size of its file, and the time for one image alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fct.evaluate.intervals import Estimate, exact, only, resampled
from fct.evaluate.model import Model
from fct.evaluate.params import EvaluateParams
from fct.gate.params import CheckParams
from fct.splits.store import Split

MIB = 1 << 20  # bytes
ROUNDS = 200  # images, one after the other
WARM_UP = 20  # that are not counted
LEFT_OUT = 0.05  # share of the rounds, the slowest: they tell of what else the machine did


def footprint(model: Model, split: Split, lines: Sequence[CheckParams], how: EvaluateParams) -> dict[str, Estimate]:
    """Return by metric what lines of the gate may ask of a file; the time is taken only where one does.

    Arguments as for `latency`.
    """
    found = {"file_mib": exact(model.path.stat().st_size / MIB)}
    if any(line.metric == "latency_ms" for line in lines):
        found["latency_ms"] = latency(model, split, how)
    return found


def latency(model: Model, split: Split, how: EvaluateParams) -> Estimate:
    """Return the mean milliseconds of one image on one thread, with its interval; the machine is part of the answer.

    Args:
        model: that has answered for such images before.
        split: whose images it is asked about.
        how: confidence, and resamples and seed of the bootstrap over images.
    """
    taken = []
    for index in range(WARM_UP + ROUNDS):
        row = slice(index % len(split), index % len(split) + 1)
        begin = time.perf_counter()
        model.adapter.logits(model.session, split.images[row], split.quality[row])
        taken.append(1000 * (time.perf_counter() - begin))
    kept = np.sort(taken[WARM_UP:])[: round(ROUNDS * (1 - LEFT_OUT))]
    return resampled(kept[:, None], only, how)
