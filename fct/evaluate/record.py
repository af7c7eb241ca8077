"""An evaluation on disk: the contract between the evaluate stage, the gate and promotion.

<evaluation>/<split>.npy              int64 [V, N]     predicted classes, one row per view
<evaluation>/<split>-confidence.npy   float16 [V, N]   the probability of each predicted class
<evaluation>/meta.json                the sha256 of the evaluated file, the conditions, the views, and a digest of each
                                      split
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fct.core.errors import FctError, translate_damage
from fct.core.files import CHUNK, atomic_folder, write_json
from fct.core.paths import EVALUATION
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.splits.store import Split


@dataclass(frozen=True)
class Record:
    """The predictions of a model on one split."""

    model_sha256: str
    digest: str  # of the split
    predictions: Predictions


def write(
    predictions: Mapping[str, Predictions],
    splits: Iterable[Split],
    *,
    made_with: Mapping[str, Any],
    evaluation: Path = EVALUATION,
) -> None:
    """Write the predictions on each split, whole or not at all.

    Args:
        predictions: by the name of the split. All have the same views.
        splits: the splits with those names.
        made_with: entries of meta.json, at least the model_sha256 of the evaluated file.
        evaluation: the folder.
    """
    with atomic_folder(evaluation) as folder:
        for name, of_split in predictions.items():
            np.save(folder / f"{name}.npy", of_split.classes)
            # Half precision hides the differences between machines, and it halves the file.
            np.save(folder / f"{name}-confidence.npy", of_split.confidence.astype(np.float16))
        views = list(next(iter(predictions.values())).views)
        images = {split.name: {"images": len(split), "digest": digest(split)} for split in splits}
        write_json(folder / "meta.json", {**made_with, "views": views, "splits": images})


def read(split: Split, *, model_sha256: str, params: EvaluateParams, evaluation: Path = EVALUATION) -> Record:
    """Read the predictions of the model with `model_sha256` on `split`.

    Raises:
        FctError: the evaluation is missing or damaged, or belongs to another file, other images, or other views than
            those of `params`.
    """
    remedy = "Make it with `dvc repro evaluate`."
    names = [f"{split.name}.npy", f"{split.name}-confidence.npy"]
    with translate_damage(evaluation, remedy):
        meta = json.loads((evaluation / "meta.json").read_text())
        evaluated, views = str(meta["model_sha256"]), tuple(map(str, meta["views"]))
        of_split = str(meta["splits"][split.name]["digest"])
        classes, confidence = (np.load(evaluation / name) for name in names)
    if evaluated != model_sha256:
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation is about the model {evaluated[:12]}..., "
            f"but the present model is {model_sha256[:12]}.... {remedy}"
        )
    if of_split != digest(split):
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation is about other images than the split {split.name}. {remedy}"
        )
    shape = (len(views), len(split))
    for name, array, kind in zip(names, (classes, confidence), (np.integer, np.floating), strict=True):
        if array.shape != shape:
            raise FctError(f"{evaluation / name} has shape {list(array.shape)}, not {list(shape)}. {remedy}")
        if not np.issubdtype(array.dtype, kind):
            raise FctError(f"{evaluation / name} has values of type {array.dtype}. {remedy}")
    predictions = Predictions(views, classes, confidence.astype(np.float64), split.labels)
    sample = len(split.every(split.step(params.unseen_images or len(split))))
    if (
        predictions.qualities != list(params.qualities)
        or set(predictions.distortions) != set(params.unseen)
        or (params.unseen and len(predictions.measured(-1)) != sample)
    ):
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation has other qualities, unseen distortions or images for these "
            f"than the section evaluate of params.yaml. {remedy}"
        )
    return Record(evaluated, of_split, predictions)


def digest(split: Split) -> str:
    """Return a digest, 16 hexadecimal digits, of the images, labels and recorded qualities of `split`."""
    hasher = hashlib.sha256()
    for part in (split.images, split.labels, split.quality):
        hasher.update(f"{part.dtype.str} {part.shape}\n".encode())
        rows = max(1, CHUNK // max(1, part[:1].nbytes))
        for start in range(0, len(part), rows):
            hasher.update(np.ascontiguousarray(part[start : start + rows]).data)
    if split.originals is not None:
        for index in range(len(split.originals)):
            content = split.originals[index]
            hasher.update(f"{len(content)}\n".encode())
            hasher.update(content)
    return hasher.hexdigest()[:16]
