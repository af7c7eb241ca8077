"""Predicts every image of a split with an exported model: raw, and at each JPEG quality.

    predictions = predict(Path("model/model.onnx"), open_split("gate"), [5, 50, 95], "4:2:0", batch_size=256)
    accuracy = predictions.correct.mean(axis=1)  # raw first, then one number per quality

The model runs in onnxruntime on the CPU, from the ONNX file alone: the measured file is the one that is deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.params import location
from fct.evaluate.model import Model, open_model, translate_errors
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import NOT_MEASURED, Predictions
from fct.evaluate.unseen import UNSEEN, distorted, every
from fct.splits.store import Split, drop_pages
from fct.splits.views import compress_split

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images [N, H, W, C], and the quality of each [N]


@dataclass(frozen=True)
class _View:
    name: str
    make: Callable[[], Images]
    convert: Callable[[Model], Model] | None = None  # to the model that is measured
    step: int = 1  # between the images of the split that it is measured on


def predict(  # noqa: PLR0913 (the model, the images, and the conditions; the latter by keyword)
    model: Model | Path,
    split: Split,
    qualities: Sequence[int],
    subsampling: str,
    *,
    batch_size: int,
    unseen: Sequence[str] = (),
    unseen_images: int | None = None,
    threads: int | None = None,
) -> Predictions:
    """Return a model's predictions for raw, compressed and otherwise distorted images.

    For raw images the model gets their own JPEG quality. For compressed images it gets the quality they were just
    compressed with, since a deployment would read that from the tables of the file. One view is in memory at a time.

    Args:
        model: The path of an ONNX file, or an open model.
        split: N images.
        qualities: Q JPEG qualities, 1..100.
        subsampling: The subsampling of the chroma planes: 4:2:0 | 4:2:2 | 4:4:4.
        batch_size: Images in the model at a time, over all threads.
        unseen: Names of distortions (fct.evaluate.unseen), each measured at all its severities.
        unseen_images: Number of images, evenly spread, for these; None for all.
        threads: Number of threads that run the model; None for one per usable core.

    Raises:
        FctError: the model is missing or invalid, or takes other images or classes, or a distortion does not apply
            to grey images.
    """
    model = open_model(model) if isinstance(model, Path) else model
    _check_fit(model, split)
    views = list(_views(split, qualities, subsampling, unseen, unseen_images))
    classes = np.full((len(views), len(split)), NOT_MEASURED, np.int64)
    confidence = np.zeros(classes.shape)
    workers = threads or joblib.cpu_count()
    share = max(1, batch_size // workers)  # images
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(
            total=sum(len(range(0, len(split), view.step)) for view in views),
            desc=f"sweep {split.name}",
            unit="image",
            unit_scale=True,
            disable=None,
        ) as bar,
    ):
        for row, view in enumerate(views):
            bar.set_postfix_str(view.name)
            images, quality = view.make()
            measured = view.convert(model) if view.convert else model
            parts = [slice(start, start + share) for start in range(0, len(images), share)]
            results = pool.map(
                predict_batch, repeat(measured), (images[part] for part in parts), (quality[part] for part in parts)
            )
            row_classes, row_confidence = classes[row, :: view.step], confidence[row, :: view.step]
            for part, (predicted, probability) in zip(parts, results, strict=True):
                row_classes[part], row_confidence[part] = predicted, probability
                bar.update(len(predicted))
                drop_pages(images)
            del images, results  # before the next view is made
    return Predictions(tuple(view.name for view in views), classes, confidence, split.labels)


def predict_views(model: Path | Model, split: Split, evaluate: EvaluateParams, subsampling: str) -> Predictions:
    """Return a model's predictions for the views that the section `evaluate` names. See `predict` for the rest."""
    return predict(
        model,
        split,
        evaluate.qualities,
        subsampling,
        batch_size=evaluate.batch_size,
        unseen=evaluate.unseen,
        unseen_images=evaluate.unseen_images,
    )


def _views(
    split: Split, qualities: Sequence[int], subsampling: str, unseen: Sequence[str], unseen_images: int | None
) -> Iterator[_View]:
    channels = split.images.shape[-1]
    refuse_colours(unseen, channels)
    yield _View("raw", partial(_raw, split))
    for quality in qualities:
        yield _View(f"q{quality}", partial(_jpeg, split, quality, subsampling))
    step = split.step(unseen_images or len(split)) if len(split) else 1
    sample = split.every(step)
    for name, severity, quality in every(channels):
        if name in unseen:
            convert = UNSEEN[name].convert
            make = partial(_raw, sample) if convert else partial(_unseen, sample, name, severity, quality)
            yield _View(f"{name}/{severity}", make, convert, step)


def refuse_colours(unseen: Sequence[str], channels: int) -> None:
    """Refuse distortions of colours where the images have none.

    Raises:
        FctError: there is such a distortion.
    """
    if absent := [name for name in unseen if channels == 1 and UNSEEN[name].colour]:
        raise FctError(
            f"{location('evaluate.unseen')}: {absent[0]} changes only colours, and these images are grey. Remove it "
            "from the list."
        )


def _raw(split: Split) -> Images:
    return split.images, split.quality


def _jpeg(split: Split, quality: int, subsampling: str) -> Images:
    return compress_split(split, quality, subsampling), np.full(len(split), quality, np.int64)


def _unseen(split: Split, name: str, severity: int, quality: int) -> Images:
    return distorted(split, name, severity), np.full(len(split), quality, np.int64)


def predict_batch(
    model: Model, images: NDArray[np.uint8], quality: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the predicted classes [B] of images [B, H, W, C], and their probabilities [B]."""
    with translate_errors(model.path):
        logits = model.adapter.logits(model.session, images, quality)
    if not np.isfinite(logits).all():
        raise FctError(f"{model.path}: some logits are not finite numbers. Train and export it again.")
    below = np.exp(logits - logits.max(axis=1, keepdims=True))
    return logits.argmax(axis=1), 1 / below.sum(axis=1)


def _check_fit(model: Model, split: Split) -> None:
    """Refuse images of another size or other channels than the model takes, and labels beyond its classes."""
    _, height, width, channels = split.images.shape
    for name, actual, expected in zip(
        ("channels", "height", "width"), (channels, height, width), model.image_shape[1:], strict=True
    ):
        if isinstance(expected, int) and expected != actual:
            raise FctError(
                f"{model.path}: it takes images with {name} {expected}, but the split {split.name} has {actual}. "
                "Export a model that was trained on these data."
            )
    if not len(split):
        raise FctError(f"The split {split.name} has no images. Raise its share in params.yaml: data.fractions.")
    if model.classes is not None and int(split.labels.max()) >= model.classes:
        raise FctError(
            f"{model.path}: it has {model.classes} classes, but the split {split.name} has the label "
            f"{int(split.labels.max())}. Export a model that was trained on these data."
        )
