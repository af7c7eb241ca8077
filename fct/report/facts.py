"""The facts that the page shows: the outs of the pipeline, and the predictions of other models for the same images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.params import Section, load
from fct.core.paths import FEATURES_METRICS, IMPORTANCE_CSV, INT8, MODEL_ONNX, SEARCH_CSV, SPREAD_METRICS, VERDICT
from fct.evaluate import record
from fct.evaluate.intervals import Estimate
from fct.evaluate.model import open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.evaluate.sweep import predict_views
from fct.gate import trainings
from fct.gate.footprint import latency
from fct.gate.trainings import NONE, Trainings
from fct.registry.params import RegistryParams
from fct.report.dates import date_of
from fct.report.network import Making, read_making
from fct.report.units import signed_interval
from fct.search.plots import Point, Shares, read_points, read_shares
from fct.splits.params import JpegParams
from fct.splits.store import Originals, Split, open_split, read_meta
from fct.splits.views import compress_split
from fct.vcs import git

SPLIT = "test"  # nothing was chosen on it, so a deployment may expect its accuracy
FLIPS = 12  # number of examples


class Params(Section):
    """The sections of params.yaml that the report reads."""

    jpeg: JpegParams
    evaluate: EvaluateParams
    registry: RegistryParams


@dataclass(frozen=True)
class Flip:
    """An image whose prediction is right when it is raw and wrong when it is compressed."""

    raw: NDArray[np.uint8]  # [H, W, C]
    compressed: NDArray[np.uint8]
    label: str
    predicted: str
    confidence: float  # of the wrong prediction


@dataclass(frozen=True)
class Facts:
    """The content of the page."""

    title: str  # of the registered model
    name: str  # of the candidate among the models
    verdict: Mapping[str, Any]
    judged: str  # when
    making: Making
    tried: list[Point]  # by the search; empty if there was no search, or the method is not known
    importance: Shares  # of what the search varied
    evaluate: EvaluateParams
    classes: list[str]
    predictions: Mapping[str, Predictions]  # by model, the candidate first; on the split `SPLIT`
    trainings: Trainings  # of the same configuration, on the judged images; may be empty
    features: Mapping[str, Mapping[str, float]]  # layer -> q<quality> -> distortion; empty if it was not measured
    flips: list[Flip]
    flips_at: int  # JPEG quality
    latency: Estimate  # milliseconds for one image
    provenance: Mapping[str, str]


def gather_facts(others: Mapping[str, Path]) -> Facts:
    """Read the facts about model/model.onnx.

    Args:
        others: ONNX files by name, such as the champion's, which predict the same images. If one of them is the
            candidate's own file, the candidate gets its name.

    Raises:
        FctError: an out of the pipeline is missing or belongs to another file, or a model has other classes.
    """
    params = load(Params)
    try:
        verdict = json.loads(VERDICT.read_text())
    except FileNotFoundError:
        raise FctError(f"{VERDICT} is not here. Make it with `dvc repro gate`.") from None
    digest, split, classes = (
        sha256(MODEL_ONNX) if MODEL_ONNX.is_file() else "",
        open_split(SPLIT),
        list(read_meta()["classes"]),
    )
    if verdict["model_sha256"] != digest:
        raise FctError(f"{VERDICT}: the verdict is about another file than {MODEL_ONNX}. Run `dvc repro gate`.")
    model = open_model(MODEL_ONNX)
    same = [other for other, path in others.items() if path.is_file() and sha256(path) == digest]
    name = same[0] if same else "candidate"
    evaluate = params.evaluate
    predictions = {name: record.read(split, model_sha256=digest, params=evaluate).predictions}
    for other, path in others.items():
        if other in same:
            continue
        opened = open_model(path)
        if opened.classes != len(classes) or opened.class_names not in (None, classes):
            raise FctError(f"{path}: its classes are {opened.class_names}, but the data have {classes}.")
        predictions[other] = predict_views(opened, split, evaluate, params.jpeg.subsampling)
    lowest, making = min(evaluate.qualities), read_making(model)
    return Facts(
        name=name,
        title=params.registry.name,
        verdict=verdict,
        judged=date_of(VERDICT),
        making=making,
        tried=read_points(SEARCH_CSV) if making.method else [],
        importance=read_shares(IMPORTANCE_CSV) if making.method else [],
        evaluate=evaluate,
        classes=classes,
        predictions=predictions,
        trainings=_trainings(verdict, evaluate),
        features=json.loads(FEATURES_METRICS.read_text()) if FEATURES_METRICS.is_file() else {},
        flips=_find_flips(predictions[name], split, lowest, params.jpeg.subsampling, classes),
        flips_at=lowest,
        latency=latency(model, split, evaluate),
        provenance=_provenance(digest, verdict, split, evaluate),
    )


def _find_flips(
    predictions: Predictions, split: Split, quality: int, subsampling: str, classes: list[str]
) -> list[Flip]:
    row = predictions.views.index(f"q{quality}")
    flipped = np.flatnonzero(predictions.correct[0] & ~predictions.correct[row])
    chosen = flipped[np.linspace(0, len(flipped) - 1, min(FLIPS, len(flipped))).astype(int)]  # evenly spread
    packed = split.originals
    sample = Split(
        split.name,
        split.images[chosen],
        split.labels[chosen],
        split.quality[chosen],
        packed and Originals(packed.files, packed.starts[chosen], packed.stops[chosen]),
    )
    return [
        Flip(
            raw=sample.images[index],
            compressed=view,
            label=classes[sample.labels[index]],
            predicted=classes[predictions.classes[row, image]],
            confidence=float(predictions.confidence[row, image]),
        )
        for index, (image, view) in enumerate(zip(chosen, compress_split(sample, quality, subsampling), strict=True))
    ]


def _trainings(verdict: Mapping[str, Any], evaluate: EvaluateParams) -> Trainings:
    """Return the trainings that the stage `spread` measured, if they are of the verdict's images and conditions."""
    if not SPREAD_METRICS.is_file():
        return NONE
    measured = trainings.read()
    return measured if measured.is_of(verdict["split"]["digest"], evaluate.conditions) else NONE


def _int8(verdict: Mapping[str, Any], split: Split, evaluate: EvaluateParams) -> dict[str, str]:
    """Return the facts about the model's 8-bit form, if it exists."""
    if not (INT8.verdict.is_file() and INT8.model.is_file()):
        return {}
    int8_verdict = json.loads(INT8.verdict.read_text())
    if int8_verdict["split"]["digest"] != verdict["split"]["digest"] or int8_verdict["model_sha256"] != sha256(
        INT8.model
    ):
        return {}
    gap = next(check for check in int8_verdict["checks"] if check["name"].endswith("_vs_fp32"))
    sizes = [path.stat().st_size / 1024 for path in (INT8.model, MODEL_ONNX)]
    change = f"{signed_interval(Estimate(gap['value'], gap['low'], gap['high']))} points"
    size = f"{sizes[0]:.0f} KiB, the other {sizes[1]:.0f} KiB"
    model = open_model(INT8.model)
    speed = f"{latency(model, split, evaluate).value:.2f} ms for one image"
    return {"8-bit form": f"{int8_verdict['verdict']}; mean accuracy {change}; {size}; {speed}"}


def _provenance(digest: str, verdict: Mapping[str, Any], split: Split, evaluate: EvaluateParams) -> dict[str, str]:
    tree = git.tree()
    return {
        "model": f"{MODEL_ONNX}, sha256 {digest}",
        "judged on": f"{verdict['split']['images']:,} images of the split {verdict['split']['name']}, digest "
        f"{verdict['split']['digest']}",
        **_int8(verdict, split, evaluate),
        "commit": f"{tree.commit or 'none'}{' with uncommitted changes' if tree.changed else ''}",
        "data": f"{read_meta().get('source', 'unknown')}, digest {read_meta().get('digest', 'unknown')}",
    }
