"""How long an exported model takes for one image alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.data.store import Split
from fct.evaluate.intervals import Estimate, only, resampled
from fct.evaluate.params import EvaluateParams
from fct.portable.classifier import open_session

ROUNDS = 200  # images, one after the other
WARM_UP = 20  # that are not counted
LEFT_OUT = 0.05  # share of the rounds, the slowest: they tell of what else the machine did


def latency(model_path: Path, split: Split, how: EvaluateParams) -> Estimate:
    """Return the mean milliseconds of one image on one thread, with its interval; the machine is part of the answer.

    Args:
        model_path: an ONNX file that `fct.evaluate.sweep.open_model` takes.
        split: whose images it is asked about.
        how: confidence, and resamples and seed of the bootstrap over images.
    """
    session = open_session(model_path)
    names = {each.name for each in session.get_inputs()}
    taken = []
    for index in range(WARM_UP + ROUNDS):
        row = slice(index % len(split), index % len(split) + 1)
        known: dict[str, NDArray[Any]] = {
            "image": np.ascontiguousarray(split.images[row].transpose(0, 3, 1, 2)),
            "quality": np.array(split.quality[row], np.int64),
        }
        feed = {name: known[name] for name in names}
        begin = time.perf_counter()
        session.run(["logits"], feed)
        taken.append(1000 * (time.perf_counter() - begin))
    kept = np.sort(taken[WARM_UP:])[: round(ROUNDS * (1 - LEFT_OUT))]
    return resampled(kept[:, None], only, how)
