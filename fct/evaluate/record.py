"""An evaluation on disk: the contract between the evaluate stage, the gate and promotion.

<evaluation>/<split>.npy   int64 [1 + Q, N]   predicted classes: row 0 raw, then one row a quality
<evaluation>/meta.json     which file was evaluated (sha256), how, and on which images (a digest of each split)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.files import CHUNK, new_folder, write_json
from fct.data.store import Split

EVALUATION = Path("evaluation")


@dataclass(frozen=True)
class Record:
    """What a model predicted on one split."""

    model_sha256: str
    qualities: list[int]  # Q
    digest: str  # of the split
    predicted: NDArray[np.int64]  # [1 + Q, N]


def write(
    predicted: Mapping[str, NDArray[np.int64]],
    splits: Iterable[Split],
    *,
    made_with: Mapping[str, Any],
    evaluation: Path = EVALUATION,
) -> None:
    """Write the predictions on each split and what they are of, all or nothing.

    Args:
        predicted: int64 [1 + Q, N] for each split's name.
        splits: the splits of those names.
        made_with: JSON with at least model_sha256, of the evaluated file, and qualities, in the order of the rows.
        evaluation: the folder.
    """
    with new_folder(evaluation) as folder:
        for name, classes in predicted.items():
            np.save(folder / f"{name}.npy", classes)
        images = {split.name: {"images": len(split), "digest": digest(split)} for split in splits}
        write_json(folder / "meta.json", {**made_with, "splits": images})


def read(split: Split, *, model_sha256: str, evaluation: Path = EVALUATION) -> Record:
    """Read what the model with `model_sha256` predicted on `split`.

    Raises:
        FctError: there is no evaluation, or it is damaged, of another file, or of other images.
    """
    again = "Make it with `dvc repro evaluate`."
    try:
        meta: dict[str, Any] = json.loads((evaluation / "meta.json").read_text())
        predicted: NDArray[np.int64] = np.load(evaluation / f"{split.name}.npy")
        found, qualities, of = meta["model_sha256"], meta["qualities"], meta["splits"][split.name]
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
    if predicted.shape != (1 + len(qualities), len(split)):
        raise FctError(
            f"{evaluation / f'{split.name}.npy'} has shape {list(predicted.shape)}, "
            f"not {[1 + len(qualities), len(split)]}. {again}"
        )
    return Record(found, qualities, of["digest"], predicted)


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
