"""An evaluation on disk: the contract between the evaluate stage, the gate and promotion.

<evaluation>/<split>.npy              int64 [V, N]     predicted classes, a row a view
<evaluation>/<split>-confidence.npy   float16 [V, N]   the probability of each
<evaluation>/meta.json                which file was evaluated (sha256), how, which views there are, and on which images
                                      (a digest of each split)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fct.core.errors import FctError
from fct.core.files import CHUNK, atomic_folder, write_json
from fct.core.paths import EVALUATION
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.splits.store import Split


@dataclass(frozen=True)
class Record:
    """What a model answered on one split, and what that is of."""

    model_sha256: str
    digest: str  # of the split
    answers: Predictions


def write(
    answers: Mapping[str, Predictions],
    splits: Iterable[Split],
    *,
    made_with: Mapping[str, Any],
    evaluation: Path = EVALUATION,
) -> None:
    """Write the answers on each split and what they are of, all or nothing.

    Args:
        answers: for each split's name, on the same views.
        splits: the splits of those names.
        made_with: JSON with at least model_sha256, of the evaluated file.
        evaluation: the folder.
    """
    with atomic_folder(evaluation) as folder:
        for name, given in answers.items():
            np.save(folder / f"{name}.npy", given.classes)
            # Half precision: what differs between machines lies below it, and it halves the file.
            np.save(folder / f"{name}-confidence.npy", given.confidence.astype(np.float16))
        views = list(next(iter(answers.values())).views)
        images = {split.name: {"images": len(split), "digest": digest(split)} for split in splits}
        write_json(folder / "meta.json", {**made_with, "views": views, "splits": images})


def read(split: Split, *, model_sha256: str, how: EvaluateParams, evaluation: Path = EVALUATION) -> Record:
    """Read what the model with `model_sha256` answered on `split`.

    Raises:
        FctError: there is no evaluation, or it is damaged, of another file, of other images, or of other views than
            `how` asks for.
    """
    again = "Make it with `dvc repro evaluate`."
    names = [f"{split.name}.npy", f"{split.name}-confidence.npy"]
    try:
        meta: dict[str, Any] = json.loads((evaluation / "meta.json").read_text())
        classes, confidence = (np.load(evaluation / name) for name in names)
        found, views, of = meta["model_sha256"], tuple(meta["views"]), meta["splits"][split.name]
    except FileNotFoundError as error:
        raise FctError(f"{error.filename} is not here. {again}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FctError(f"{evaluation} is damaged ({type(error).__name__}: {error}). {again}") from None
    if found != model_sha256:
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation is of the model {found[:12]}..., "
            f"the model here is {model_sha256[:12]}.... {again}"
        )
    if of["digest"] != digest(split):
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation is of other images than the split {split.name} has. {again}"
        )
    wanted = (len(views), len(split))
    for name, array in zip(names, (classes, confidence), strict=True):
        if array.shape != wanted:
            raise FctError(f"{evaluation / name} has shape {list(array.shape)}, not {list(wanted)}. {again}")
    answers = Predictions(views, classes, confidence.astype(np.float64), split.labels)
    if answers.qualities != list(how.qualities) or set(answers.distortions) != set(how.unseen):
        raise FctError(
            f"{evaluation / 'meta.json'}: the evaluation is of other qualities or unseen distortions than the section "
            f"evaluate of params.yaml names. {again}"
        )
    return Record(found, of["digest"], answers)


def digest(split: Split) -> str:
    """Return 16 hexadecimal digits that change whenever an image, a label or a recorded quality of `split` does."""
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
