"""What the page is about: read from the pipeline's outs, with other models' answers to the same images beside them."""

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
from fct.core.paths import FEATURES_METRICS, INT8, MODEL_ONNX, VERDICT
from fct.evaluate import record
from fct.evaluate.intervals import Estimate
from fct.evaluate.model import open_model
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.evaluate.sweep import predict
from fct.gate.footprint import latency
from fct.registry.params import RegistryParams
from fct.splits.params import JpegParams
from fct.splits.store import Originals, Split, open_split, read_meta
from fct.splits.views import compress_split
from fct.vcs import git

SPLIT = "test"  # it chose nothing: what it says is what a deployment may expect
FLIPS = 12  # examples


class Params(Section):
    """What the report reads of params.yaml."""

    jpeg: JpegParams
    evaluate: EvaluateParams
    registry: RegistryParams


@dataclass(frozen=True)
class Flip:
    """An image that is recognised raw and mistaken once it is compressed."""

    raw: NDArray[np.uint8]  # [H, W, C]
    compressed: NDArray[np.uint8]
    label: str
    mistaken_for: str
    confidence: float  # of the mistake


@dataclass(frozen=True)
class Facts:
    """All that the page shows."""

    title: str  # of the registered model
    name: str  # of the candidate among the models
    verdict: Mapping[str, Any]
    how: EvaluateParams
    classes: list[str]
    answers: Mapping[str, Predictions]  # by model, the candidate first; on the split `SPLIT`
    features: Mapping[str, Mapping[str, float]]  # layer -> q<quality> -> distortion; empty where it was not measured
    flips: list[Flip]
    flips_at: int  # JPEG quality
    latency: Estimate  # milliseconds of one image
    provenance: Mapping[str, str]


def gather_facts(others: Mapping[str, Path]) -> Facts:
    """Read the facts about model/model.onnx.

    Args:
        others: ONNX files by name, such as the champion's, which are asked about the same images. One that is the
            candidate's own file gives it its name, and is asked nothing.

    Raises:
        FctError: an out of the pipeline is missing or is of another file, or another model is of other classes.
    """
    read = load(Params)
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
        raise FctError(f"{VERDICT}: the verdict is of another file than {MODEL_ONNX}. Run `dvc repro gate`.")
    model = open_model(MODEL_ONNX)
    same = [other for other, path in others.items() if path.is_file() and sha256(path) == digest]
    name = same[0] if same else "candidate"
    answers = {name: record.read(split, model_sha256=digest, how=read.evaluate).answers}
    how = read.evaluate
    for other, path in others.items():
        if other in same:
            continue
        opened = open_model(path)
        if opened.classes != len(classes) or opened.class_names not in (None, classes):
            raise FctError(f"{path}: its classes are {opened.class_names}, those of the data {classes}.")
        asked = read.jpeg.subsampling
        answers[other] = predict(opened, split, how.qualities, asked, batch_size=how.batch_size, unseen=how.unseen)
    at = min(how.qualities)
    return Facts(
        name=name,
        title=read.registry.name,
        verdict=verdict,
        how=how,
        classes=classes,
        answers=answers,
        features=json.loads(FEATURES_METRICS.read_text()) if FEATURES_METRICS.is_file() else {},
        flips=_flips(answers[name], split, at, read.jpeg.subsampling, classes),
        flips_at=at,
        latency=latency(model, split, how),
        provenance=_provenance(digest, verdict, split, how),
    )


def _flips(answers: Predictions, split: Split, quality: int, subsampling: str, classes: list[str]) -> list[Flip]:
    row = answers.views.index(f"q{quality}")
    flipped = np.flatnonzero(answers.correct[0] & ~answers.correct[row])
    chosen = flipped[np.linspace(0, len(flipped) - 1, min(FLIPS, len(flipped))).astype(int)]  # evenly spread
    packed = split.originals
    few = Split(
        split.name,
        split.images[chosen],
        split.labels[chosen],
        split.quality[chosen],
        packed and Originals(packed.files, packed.starts[chosen], packed.stops[chosen]),
    )
    return [
        Flip(
            raw=few.images[place],
            compressed=view,
            label=classes[few.labels[place]],
            mistaken_for=classes[answers.classes[row, index]],
            confidence=float(answers.confidence[row, index]),
        )
        for place, (index, view) in enumerate(zip(chosen, compress_split(few, quality, subsampling), strict=True))
    ]


def _int8(verdict: Mapping[str, Any], split: Split, how: EvaluateParams) -> dict[str, str]:
    """Return what there is to say of the model's 8-bit form."""
    if not (INT8.verdict.is_file() and INT8.model.is_file()):
        return {}
    judged = json.loads(INT8.verdict.read_text())
    if judged["split"]["digest"] != verdict["split"]["digest"] or judged["model_sha256"] != sha256(INT8.model):
        return {}
    gap = next(check for check in judged["checks"] if check["name"].endswith("_vs_fp32"))
    sizes = [path.stat().st_size / 1024 for path in (INT8.model, MODEL_ONNX)]
    change = f"{100 * gap['value']:+.2f} points ({100 * gap['low']:+.2f} to {100 * gap['high']:+.2f})"
    size = f"{sizes[0]:.0f} KiB, the other {sizes[1]:.0f} KiB"
    model = open_model(INT8.model)
    speed = f"{latency(model, split, how).value:.2f} ms for one image"
    return {"8-bit form": f"{judged['verdict']}; mean accuracy {change}; {size}; {speed}"}


def _provenance(digest: str, verdict: Mapping[str, Any], split: Split, how: EvaluateParams) -> dict[str, str]:
    tree = git.tree()
    return {
        "model": f"{MODEL_ONNX}, sha256 {digest}",
        "judged on": f"{verdict['split']['images']:,} images of the split {verdict['split']['name']}, digest "
        f"{verdict['split']['digest']}",
        **_int8(verdict, split, how),
        "commit": f"{tree.commit or 'none'}{' with changes that are not in it' if tree.changed else ''}",
        "data": f"{read_meta().get('source', 'unknown')}, digest {read_meta().get('digest', 'unknown')}",
    }
