"""The command `fct spread`: how much a model's values differ between trainings.

A verdict is about one training. Another seed, or the same seed on another machine, gives another model; no number of
images tells how different. This command trains the same configuration with several seeds and measures each model.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from fct.core.files import digest, write_json
from fct.core.params import load, read
from fct.core.paths import BEST_METHOD, SPREAD
from fct.evaluate import record
from fct.evaluate.intervals import student
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict_views
from fct.export.onnx import export
from fct.gate.measures import measure
from fct.gate.params import GateParams
from fct.methods.params import MethodParams
from fct.splits.store import Split, open_split
from fct.train.__main__ import Best
from fct.train.assemble import Setup, TrainingSections, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.lock import training_lock
from fct.train.loop import Data, train


class Params(TrainingSections):
    """The sections of params.yaml that `fct spread` reads."""

    evaluate: EvaluateParams
    gate: GateParams


def measure_spread(seeds: Sequence[int]) -> dict[int, dict[str, float]]:
    """Train once for each seed, and measure each model by the lines of the gate that are about images.

    What is measured is kept in .fct/spread: a killed command goes on where it stopped, and more seeds add to it. The
    search's choice and the teacher stay those of the pipeline, and its own files do not change.

    Args:
        seeds: each takes the place of `train.seed`.

    Returns:
        The value of each line, by seed and by the line's name.

    Raises:
        FctError: the data, the search's choice or the teacher are not here, or a training fails.
    """
    params = load(Params).resolved()
    method = read(Best, BEST_METHOD).method
    with training_lock():
        data, meta = open_data(Setup.of(params))  # which no seed changes
        gate = open_split("gate")
        return {seed: _measure(seed, params, method, data, meta, gate) for seed in seeds}


def format_spread(values: Mapping[int, Mapping[str, float]], confidence: float) -> str:
    """Return a table with a line for each line of the gate.

    Args:
        values: of each line, by seed and by name.
        confidence: of the interval of the mean over trainings.
    """
    names = list(next(iter(values.values())))
    width = max(map(len, names)) + 1
    heading = f"{100 * confidence:g}% of the mean"
    lines = [f"{'check':<{width}}{'mean':>8}{'deviation':>11}   {heading:<20}lowest to highest"]
    for name in names:
        of_line = [of_seed[name] for of_seed in values.values()]
        mean = student(np.array(of_line), confidence)
        interval = f"{mean.low:.4f} to {mean.high:.4f}"
        lines.append(
            f"{name:<{width}}{mean.value:>8.4f}{statistics.stdev(of_line):>11.4f}   {interval:<20}"
            f"{min(of_line):.4f} to {max(of_line):.4f}"
        )
    return "\n".join(lines)


def _measure(  # noqa: PLR0913, PLR0917  # all that a training and its measurement need
    seed: int, params: Params, method: MethodParams, data: Data, meta: dict[str, Any], gate: Split
) -> dict[str, float]:
    """Return the values of one training, from .fct/spread if they are there."""
    setup = Setup.of(params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})}))
    lines = [line for line in params.gate if line.slice is not None and line.champion is None]
    checkpoint = Checkpoint(identity(setup, method, meta), SPREAD / "checkpoints")
    key = {
        "training": checkpoint.path.parent.name,  # a digest of all that decides the weights
        "conditions": params.evaluate.conditions,
        "gate": record.digest(gate),
        "lines": [line.name for line in lines],
    }
    path = SPREAD / f"{digest(key)}.json"
    if path.exists():
        kept: dict[str, float] = json.loads(path.read_text())
        return kept
    click.echo(f"seed {seed}", err=True)
    network, description = make_network(setup, method, data.train, meta)
    train(network, data, method, setup.train, checkpoint=checkpoint)
    fit_estimator(network, data, method, setup.train)
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        export(network, description, model)
        predictions = predict_views(model, gate, params.evaluate, setup.subsampling)
    values = {line.name: measure(line, predictions, params.evaluate).value for line in lines}
    write_json(path, values)
    return values
