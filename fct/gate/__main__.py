"""Judge the evaluated model: PASS or FAIL, on the gate split alone.

    python -m fct.gate

Reads evaluation/, metrics/export-model.json, model/model.onnx (its checksum), data/splits, data/originals, and for
lines `over: trainings` metrics/spread.json. Writes metrics/gate.json. A FAIL is a normal result: the exit status is 0,
and the model cannot be promoted.
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
from fct.gate import checks, trainings
from fct.gate.footprint import footprint
from fct.gate.params import GateParams
from fct.splits.store import open_split


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    evaluate: EvaluateParams
    gate: GateParams


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        params = load(Params)
        with tracking.stage(
            "gate",
            params=params.model_dump(),
            inputs={"export": MODEL_ONNX, "evaluate": EVALUATION},
            outputs=[VERDICT],
            datasets=tracking.datasets(SPLITS),
        ) as run:
            verdict = judge_model(params)
            run.headline(checks.metrics(verdict))
            run.tag("fct.verdict", verdict["verdict"])
            run.tag("fct.model_sha256", verdict["model_sha256"])
        print(checks.format_verdict(verdict, colour=checks.wants_colour(sys.stdout)))
        if all(line.over == "images" for line in params.gate):
            print("about one training: `fct spread` shows how much others differ")


def judge_model(params: Params) -> dict[str, Any]:
    """Judge the model, write the verdict and return it."""
    if not MODEL_ONNX.is_file():
        raise FctError(f"{MODEL_ONNX} is not here. Make it with `dvc repro export@model`.")
    split = open_split("gate")
    evaluation = record.read(split, model_sha256=sha256(MODEL_ONNX), params=params.evaluate)
    checks.refuse_unmeasured_slices(params.gate, params.evaluate)
    spread = trainings.read_for(params.gate, evaluation.digest, params.evaluate)
    file_values = footprint(open_model(MODEL_ONNX), split, params.gate, params.evaluate) | {
        "parity": exact(_read_parity())
    }
    judged = [
        *checks.check_lines(params.gate, evaluation.predictions, file_values, params.evaluate),
        *checks.check_trainings(params.gate, evaluation.predictions, spread.values, params.evaluate),
    ]
    verdict = checks.verdict(
        judged,
        model_sha256=evaluation.model_sha256,
        images=len(split),
        digest=evaluation.digest,
        params=params.evaluate,
    )
    write_json(VERDICT, verdict)
    return verdict


def _read_parity() -> float:
    """Return the parity that the export measured.

    Raises:
        FctError: the export's metrics are missing or damaged, or belong to another file.
    """
    metrics, remedy = export_metrics(MODEL_ONNX), "Make it with `dvc repro export@model`."
    try:
        content = json.loads(metrics.read_text())
        parity, file_bytes = float(content["parity"]), int(content["file_bytes"])
    except FileNotFoundError:
        raise FctError(f"{metrics} is not here. {remedy}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FctError(f"{metrics} is damaged ({type(error).__name__}: {error}). {remedy}") from None
    if not math.isfinite(parity):
        raise FctError(f"{metrics}: parity is {parity}, not a finite number. {remedy}")
    size = MODEL_ONNX.stat().st_size
    if file_bytes != size:
        raise FctError(
            f"{metrics}: file_bytes is {file_bytes}, but {MODEL_ONNX} has {size} bytes. "
            f"The metrics belong to another export. {remedy}"
        )
    return parity


if __name__ == "__main__":
    main()
