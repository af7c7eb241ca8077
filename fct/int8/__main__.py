"""Quantise the exported model to 8 bits, and judge the result by the gate and against the 32-bit file.

    python -m fct.int8

Reads model/model.onnx, evaluation/, data/splits, data/originals. Writes model/model-int8.onnx, evaluation-int8/ and
metrics/gate-int8.json. A FAIL is a normal result. `fct promote --int8` registers a file that passed.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from fct import tracking
from fct.cache.params import CacheParams
from fct.core.errors import exit_on_error
from fct.core.files import sha256, write_json
from fct.core.params import Section, load
from fct.core.paths import FP32, INT8, SPLITS
from fct.evaluate import record
from fct.evaluate.model import open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.sweep import predict_views
from fct.gate import checks
from fct.gate.footprint import footprint
from fct.gate.params import GateParams, int8_lines
from fct.int8.params import Int8Params
from fct.int8.quantise import quantise
from fct.jpeg.arrays import VERSION
from fct.splits.params import JpegParams
from fct.splits.store import open_split, read_meta
from fct.splits.views import at_size, compress_split


class Params(Section):
    """The sections of params.yaml that this stage reads."""

    jpeg: JpegParams
    cache: CacheParams
    evaluate: EvaluateParams
    gate: GateParams
    int8: Int8Params


def main() -> None:
    """Run the stage."""
    with exit_on_error():
        params = load(Params)
        checks.refuse_unmeasured_slices(params.gate, params.evaluate)
        with tracking.stage(
            "int8",
            params=params.model_dump(),
            inputs={"export": FP32.model, "evaluate": FP32.evaluation},
            outputs=[INT8.model, INT8.evaluation, INT8.verdict],
            datasets=tracking.datasets(SPLITS),
        ) as run:
            images, quality = calibration_images(params)
            quantise(FP32.model, images, quality, INT8.model)
            verdict = judge_int8(params)
            run.headline({f"int8_{name}": value for name, value in checks.metrics(verdict).items()})
            run.tag("fct.int8_sha256", verdict["model_sha256"])
        print(checks.format_verdict(verdict, colour=checks.wants_colour(sys.stdout)))


def calibration_images(params: Params) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return training images [N, C, H, W] and their qualities [N]; raw and every trained quality alternate."""
    train = open_split("train")
    train = at_size(train.every(train.step(params.int8.images)), read_meta()["size"])
    images, quality = np.array(train.images), np.array(train.quality)
    turns = len(params.cache.qualities) + 1
    for turn, level in enumerate(params.cache.qualities):
        rows = np.arange(turn, len(train), turns)
        images[rows] = compress_split(train, level, params.jpeg.subsampling)[rows]
        quality[rows] = level
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), quality


def judge_int8(params: Params) -> dict[str, object]:
    """Judge the 8-bit file on the gate split. Write its predictions and the verdict, and return the verdict."""
    split, evaluate, subsampling = open_split("gate"), params.evaluate, params.jpeg.subsampling
    fp32_predictions = record.read(split, model_sha256=sha256(FP32.model), params=evaluate).predictions
    model, digest = open_model(INT8.model), sha256(INT8.model)
    predictions = predict_views(model, split, evaluate, subsampling)
    lines, against_fp32 = int8_lines(params.gate, params.int8.max_drop)
    file_values = footprint(model, split, lines, evaluate)
    judged = [
        *checks.check_lines(lines, predictions, file_values, evaluate),
        *checks.check_against([against_fp32], predictions, fp32_predictions, evaluate),
    ]
    made_with = {"model_sha256": digest, "subsampling": subsampling, "codec": VERSION}
    record.write({"gate": predictions}, [split], made_with=made_with, evaluation=INT8.evaluation)
    verdict = checks.verdict(
        judged, model_sha256=digest, images=len(split), digest=record.digest(split), params=evaluate
    )
    write_json(INT8.verdict, verdict)
    return verdict


if __name__ == "__main__":
    main()
