"""Judge the evaluated model: PASS or FAIL, on the gate split alone.

    python -m fct.gate

Reads evaluation/, metrics/export-model.json, model/model.onnx (its checksum), data/splits, data/originals. Writes
metrics/gate.json. A FAIL is a result like any other: the command exits with 0, and nothing will be promoted.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from fct import tracking
from fct.core.errors import FctError, exit_on_error
from fct.core.files import sha256, write_json
from fct.core.params import Section, load
from fct.core.paths import EVALUATION, MODEL_ONNX, SPLITS, VERDICT, export_metrics
from fct.evaluate import record
from fct.evaluate.intervals import exact
from fct.evaluate.model import open_model
from fct.evaluate.params import EvaluateParams
from fct.gate import checks as gate
from fct.gate.footprint import footprint
from fct.gate.params import GateParams
from fct.splits.store import open_split


class Params(Section):
    """What this stage reads from params.yaml."""

    evaluate: EvaluateParams
    gate: GateParams


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        read = load(Params)
        with tracking.stage(
            "gate",
            params=read.model_dump(),
            inputs={"export": MODEL_ONNX, "evaluate": EVALUATION},
            outputs=[VERDICT],
            datasets=tracking.datasets(SPLITS),
        ) as run:
            verdict = judge_model(read)
            run.headline(gate.metrics(verdict))
            run.tag("fct.verdict", verdict["verdict"])
            run.tag("fct.model_sha256", verdict["model_sha256"])
        print(gate.format_verdict(verdict, colour=gate.wants_colour(sys.stdout)))


def judge_model(params: Params) -> dict[str, Any]:
    """Judge the model, write the verdict and return it."""
    if not MODEL_ONNX.is_file():
        raise FctError(f"{MODEL_ONNX} is not here. Make it with `dvc repro export@model`.")
    split = open_split("gate")
    found = record.read(split, model_sha256=sha256(MODEL_ONNX), how=params.evaluate)
    gate.refuse_unmeasured_slices(params.gate, params.evaluate)
    of_file = footprint(open_model(MODEL_ONNX), split, params.gate, params.evaluate) | {"parity": exact(_parity())}
    checks = gate.check_lines(params.gate, found.answers, of_file, params.evaluate)
    verdict = gate.verdict(
        checks,
        model_sha256=found.model_sha256,
        images=len(split),
        digest=found.digest,
        how=params.evaluate,
    )
    write_json(VERDICT, verdict)
    return verdict


def _parity() -> float:
    """Return the parity that the export measured.

    Raises:
        FctError: the export's metrics are missing or unreadable, or are of another file.
    """
    metrics, again = export_metrics(MODEL_ONNX), "Make it with `dvc repro export@model`."
    try:
        said = json.loads(metrics.read_text())
        parity, file_bytes = float(said["parity"]), int(said["file_bytes"])
    except FileNotFoundError:
        raise FctError(f"{metrics} is not here. {again}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FctError(f"{metrics} is damaged ({type(error).__name__}: {error}). {again}") from None
    if not math.isfinite(parity):
        raise FctError(f"{metrics}: parity is {parity}, not a finite number. {again}")
    here = MODEL_ONNX.stat().st_size
    if file_bytes != here:
        raise FctError(
            f"{metrics}: file_bytes is {file_bytes}, but {MODEL_ONNX} has {here} bytes: another export. {again}"
        )
    return parity


if __name__ == "__main__":
    main()
