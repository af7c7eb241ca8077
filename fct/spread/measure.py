"""Trains a configuration with several seeds, and measures each model by the lines of the gate.

The results are kept in .fct/spread, for both the stage and the command `fct spread`. A killed run continues where it
stopped, and more trainings add to those that are there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fct.core.errors import FctError
from fct.core.files import digest, write_json
from fct.core.params import location, read
from fct.core.paths import BEST_METHOD, SPREAD
from fct.evaluate import record
from fct.evaluate.sweep import predict_views
from fct.export.onnx import export
from fct.gate.measures import measure
from fct.gate.params import CheckParams
from fct.gate.trainings import Trainings
from fct.methods.params import MethodParams
from fct.splits.store import Split, open_split
from fct.spread.params import Params
from fct.train.__main__ import Best
from fct.train.assemble import Setup, identity, make_network, open_data, with_precision
from fct.train.checkpoint import Checkpoint, code_digest
from fct.train.estimator import fit_estimator
from fct.train.lock import training_lock
from fct.train.loop import Data, train

MEASURING = ("evaluate", "export", "gate", "serving")  # packages that decide the values of a trained network


def measure_trainings(params: Params, count: int) -> Trainings:
    """Train `count` times, and measure each model by the lines of the gate that are about images.

    The first training has `train.seed`, as in the stage `train`; the others have the seeds after it. All use the
    pipeline's teacher and the choice of its search, and do not change its files. Each has one process.

    Args:
        params: the configuration, the lines and the views.
        count: number of trainings, at least 2.

    Raises:
        FctError: the data, the search's choice or the teacher are not here, no line is about images, or a training
            fails.
    """
    lines = {line.value_name: line for line in params.gate if line.slice is not None and line.champion is None}
    if not lines:
        raise FctError(f"{location('gate')}: no line is about images, so trainings have no values that could differ.")
    method = read(Best, BEST_METHOD).method
    alone = with_precision(params.train).model_copy(update={"processes": 1, "sync_batch_norm": False})
    first = Setup(tuple(params.cache.qualities), params.jpeg.subsampling, params.model, alone)
    seeds = tuple(range(params.train.seed, params.train.seed + count))
    with training_lock():
        data, meta = open_data(first)  # the same for every seed
        gate = open_split("gate")
        gate_digest = record.digest(gate)
        found = []
        for seed in seeds:
            setup = first._replace(train=first.train.model_copy(update={"seed": seed}))
            checkpoint = Checkpoint(identity(setup, method, meta), SPREAD / "checkpoints")
            key = {
                "training": checkpoint.path.parent.name,  # a digest of all that decides the weights
                "code": code_digest(*MEASURING),
                "conditions": params.evaluate.conditions,
                "gate": gate_digest,
                "values": list(lines),
            }
            path = SPREAD / f"{digest(key)}.json"
            if not path.exists():
                print(f"seed {seed}", file=sys.stderr)
                write_json(path, _train_and_measure(setup, method, data, meta, checkpoint, gate, lines, params))
            found.append(json.loads(path.read_text()))
    return Trainings(
        seeds=seeds,
        values={name: tuple(values[name] for values in found) for name in lines},
        digest=gate_digest,
        conditions=params.evaluate.conditions,
    )


def _train_and_measure(  # noqa: PLR0913, PLR0917  # all that a training and its measurement need
    setup: Setup,
    method: MethodParams,
    data: Data,
    meta: dict[str, Any],
    checkpoint: Checkpoint,
    gate: Split,
    lines: dict[str, CheckParams],
    params: Params,
) -> dict[str, float]:
    """Return the values of one training by name."""
    network, description = make_network(setup, method, data.train, meta)
    train(network, data, method, setup.train, checkpoint=checkpoint)
    fit_estimator(network, data, method, setup.train)
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        export(network, description, model)
        predictions = predict_views(model, gate, params.evaluate, setup.subsampling)
    return {name: measure(line, predictions, params.evaluate).value for name, line in lines.items()}
