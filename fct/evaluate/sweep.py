"""What an exported model says about every image of a split, raw and at each JPEG quality.

    answers = predict(Path("model/model.onnx"), open_split("gate"), [5, 50, 95], "4:2:0", batch_size=256)
    accuracy = answers.correct.mean(axis=1)  # raw first, then one number a quality

Only the ONNX file is read, in onnxruntime on the CPU: what is measured is the file that would be deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core.errors import FctError
from fct.evaluate.model import Model, open_model, translate_errors
from fct.evaluate.predictions import Predictions
from fct.evaluate.unseen import distorted, every
from fct.splits.store import Split, drop_pages
from fct.splits.views import compress_split

View = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images [N, H, W, C], and the quality of each [N]


def predict(  # noqa: PLR0913 (what is measured, on what, how; the how by keyword)
    model: Model | Path,
    split: Split,
    qualities: Sequence[int],
    subsampling: str,
    *,
    batch_size: int,
    unseen: Sequence[str] = (),
    threads: int | None = None,
) -> Predictions:
    """Return what a model answers on raw, compressed and otherwise distorted images.

    The model is told the raw images' own quality, and for the compressed ones the quality they were just compressed
    with: that is what a deployment reads from the tables of the file in its hands. One view is in memory at a time.

    Args:
        model: The ONNX file, or one that is open.
        split: N images.
        qualities: Q JPEG qualities, 1..100.
        subsampling: Of the chroma planes: 4:2:0 | 4:2:2 | 4:4:4.
        batch_size: Images in the model at a time, over all threads.
        unseen: Distortions, each at all its severities (fct.evaluate.unseen).
        threads: Threads that each run the model on a share of them; None for one a usable core.

    Raises:
        FctError: the model is missing, invalid, or made for other images or classes, or a distortion is none on such
            images.
    """
    model = open_model(model) if isinstance(model, Path) else model
    _check_fit(model, split)
    views = list(_views(split, qualities, subsampling, unseen))
    classes = np.empty((len(views), len(split)), np.int64)
    confidence = np.empty(classes.shape)
    workers = threads or joblib.cpu_count()
    share = max(1, batch_size // workers)  # images
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=classes.size, desc=f"sweep {split.name}", unit="image", unit_scale=True, disable=None) as bar,
    ):
        for row, (name, make) in enumerate(views):
            bar.set_postfix_str(name)
            images, told = make()
            parts = [slice(start, start + share) for start in range(0, len(split), share)]
            answers = pool.map(answer, repeat(model), (images[part] for part in parts), (told[part] for part in parts))
            for part, (predicted, probability) in zip(parts, answers, strict=True):
                classes[row, part], confidence[row, part] = predicted, probability
                bar.update(len(predicted))
                drop_pages(images)
            del images, answers  # before the next view is made
    return Predictions(tuple(name for name, _ in views), classes, confidence, split.labels)


def _views(
    split: Split, qualities: Sequence[int], subsampling: str, unseen: Sequence[str]
) -> Iterator[tuple[str, Callable[[], View]]]:
    """Yield each view's name, and how to make it."""
    channels = split.images.shape[-1]
    if absent := [name for name in unseen if name not in {known for known, _, _ in every(channels)}]:
        raise FctError(
            f"evaluate.unseen: on grey images {absent[0]} is JPEG as it was trained. Take it out of the list."
        )
    yield "raw", partial(_raw, split)
    for quality in qualities:
        yield f"q{quality}", partial(_jpeg, split, quality, subsampling)
    for name, severity, quality in every(channels):
        if name in unseen:
            yield f"{name}/{severity}", partial(_unseen, split, name, severity, quality)


def _raw(split: Split) -> View:
    return split.images, split.quality


def _jpeg(split: Split, quality: int, subsampling: str) -> View:
    return compress_split(split, quality, subsampling), np.full(len(split), quality, np.int64)


def _unseen(split: Split, name: str, severity: int, quality: int) -> View:
    return distorted(split, name, severity), np.full(len(split), quality, np.int64)


def answer(
    model: Model, images: NDArray[np.uint8], quality: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes [B] of images [B, H, W, C], and how probable the model holds each."""
    with translate_errors(model.path):
        logits = model.adapter.logits(model.session, images, quality)
    if not np.isfinite(logits).all():
        raise FctError(f"{model.path}: it gives logits that are not finite numbers. Train and export it again.")
    below = np.exp(logits - logits.max(axis=1, keepdims=True))
    return logits.argmax(axis=1), 1 / below.sum(axis=1)


def _check_fit(model: Model, split: Split) -> None:
    """Refuse images of another size or channels than the model's, and labels that it has no class for."""
    _, height, width, channels = split.images.shape
    for name, has, wants in zip(
        ("channels", "height", "width"), (channels, height, width), model.image_shape[1:], strict=True
    ):
        if isinstance(wants, int) and wants != has:
            raise FctError(
                f"{model.path}: it takes images with {name} {wants}, the split {split.name} has {has}. "
                "Export a model that was trained on these data."
            )
    if not len(split):
        raise FctError(f"The split {split.name} has no images. Give it some in params.yaml: data.fractions.")
    if int(split.labels.max()) >= model.classes:
        raise FctError(
            f"{model.path}: it knows {model.classes} classes, the split {split.name} has a label "
            f"{int(split.labels.max())}. Export a model that was trained on these data."
        )
