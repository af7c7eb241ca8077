"""Checks whether a foreign model is read correctly: is it more accurate on raw images if it is read in another way?

A wrong order of channels or a wrong normalisation costs some accuracy and looks like a weak model. So `fct gate` tries
the usual alternatives on a sample and warns. The verdict remains about the way that the user chose.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import joblib
import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.intervals import difference, proportion
from fct.evaluate.model import Model
from fct.evaluate.preprocessing import NORMALISATIONS, Preprocessing
from fct.evaluate.sweep import predict_batch
from fct.images.decode import decode
from fct.images.fit import Fit
from fct.splits.store import Split

IMAGES = 300  # raw images that the best alternative is tried on
SECONDS = 10.0  # for all alternatives together; a slow model is tried on fewer images
CHUNK = 8  # images after which the worse half of the alternatives is dropped
ERROR = 0.05  # chance of a warning about a model that is read as well as possible
CROP = 0.875  # the usual ratio: 224 of 256 pixels

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)  # a key by identity
class Alternative:
    """Another way to read a model."""

    what: str  # "bgr instead of rgb"
    key: str  # the key of Preprocessing, or the option, that the user should check
    model: Model
    fit: Fit


def doubts(model: Model, split: Split, names: list[str] | None, predicted: Labels) -> list[str]:
    """Return the reasons to doubt that a model is read correctly, one sentence per reason.

    Args:
        model: the classifier. The file of a model of this project says how to read it, so only an accuracy that is no
            better than chance leaves a doubt.
        split: the images.
        names: the classes sorted by name, if the user gave no other order.
        predicted: classes of the raw images, [N].
    """
    present = predicted == split.labels
    chance = no_better_than_chance(present, model.classes or 1)
    if model.preprocessing is None:
        return [f"{chance}: check that the images are like those it was trained on"] if chance else []
    alternatives = list(_alternatives(model, model.preprocessing, split.fit))
    best, rows, right = _try(alternatives, split)
    suspects = [(best.what, best.key, present[rows], right)]
    if (order := _natural_order(names)) is not None:
        what = "the classes in natural order (2 before 10)"
        right = order[split.labels] == predicted
        suspects.insert(0, (what, "the order of the classes and give --classes", present, right))
    confidence = 1 - ERROR / (len(alternatives) + 1)  # the best of several is good by chance too
    better = [
        (gain.low, what, key, before, after)
        for what, key, before, after in suspects
        if (gain := difference(after.astype(float) - before, confidence)).low > 0
    ]
    messages = []
    if better:
        _, what, key, before, after = max(better, key=lambda each: each[0])
        messages.append(
            f"with {what}, accuracy on {len(after):,} raw images is {after.mean():.2f} instead of {before.mean():.2f}: "
            f"check {key}"
        )
    if chance:
        messages.append(f"{chance}: check the order of the classes (--classes), normalise and channels")
    return messages


def no_better_than_chance(right: NDArray[np.bool_], classes: int) -> str | None:
    """Return a sentence without its end if the accuracy on raw images may be that of guessing, else None.

    Args:
        right: [N], which predictions are right.
        classes: their number.
    """
    accuracy, chance = proportion(right, 1 - ERROR), 1 / classes
    if accuracy.low > chance:
        return None
    return f"accuracy on {len(right):,} raw images is {accuracy.value:.2g}, no better than chance ({chance:.2g})"


def _alternatives(model: Model, preprocessing: Preprocessing, fit: Fit) -> Iterator[Alternative]:
    """Yield the usual other ways to read a model. Each differs from the present way in one key."""
    adapter = model.adapter
    if preprocessing.channels is not None:
        other = "rgb" if adapter.bgr else "bgr"
        turned = replace(model, adapter=replace(adapter, bgr=not adapter.bgr))
        yield Alternative(f"{other} instead of {preprocessing.channels}", "channels", turned, fit)
    if adapter.normalisation is not None:
        for name, numbers in NORMALISATIONS.items():
            if numbers != adapter.normalisation and (preprocessing.channels is not None or len(numbers[0]) == 1):
                other_values = replace(model, adapter=replace(adapter, normalisation=numbers))
                yield Alternative(f"{name} instead of {preprocessing.normalise}", "normalise", other_values, fit)
    square, cropped = replace(fit, shorter=None, stretch=False), replace(fit, shorter=int(fit.size / CROP))
    for what, other_fit in (
        ("the centre square scaled", square),
        (f"the shorter side scaled to {cropped.shorter} and cropped", replace(cropped, stretch=False)),
        ("the whole image stretched", replace(square, stretch=True)),
    ):
        if other_fit.stretch != fit.stretch or (other_fit.shorter is None) != (fit.shorter is None):
            yield Alternative(what, "shorter, crop and stretch", model, other_fit)


def _try(alternatives: list[Alternative], split: Split) -> tuple[Alternative, NDArray[np.int64], NDArray[np.bool_]]:
    """Return the best alternative, the images that it was tried on, and which of its predictions are right.

    After every few images the worse half is dropped, so most of the time is spent on the best alternatives.
    """
    step = max(CHUNK, alternatives[0].model.adapter.batch or 1)
    right: dict[Alternative, list[NDArray[np.bool_]]] = {alternative: [] for alternative in alternatives}
    rows = np.random.default_rng(0).permutation(len(split))[:IMAGES]  # a random sample whenever time is up
    stop, done = time.monotonic() + SECONDS, 0
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        while done < len(rows) and (not done or time.monotonic() < stop):
            part = rows[done : done + step * max(1, joblib.cpu_count() // len(right))]
            views = _views(split, part, {alternative.fit for alternative in right}, pool.map)
            tasks = [
                (alternative, part[first : first + step], views[alternative.fit][first : first + step])
                for alternative in right
                for first in range(0, len(part), step)
            ]
            answers = pool.map(lambda task: _right(task[0].model, split, task[1], task[2]), tasks)
            for (alternative, _, _), answer in zip(tasks, answers, strict=True):
                right[alternative].append(answer)
            done += len(part)
            ranked = sorted(right, key=lambda each: -sum(int(answer.sum()) for answer in right[each]))
            right = {each: right[each] for each in ranked[: (len(ranked) + 1) // 2]}
    best = next(iter(right))
    return best, rows[:done], np.concatenate(right[best])


def _views(
    split: Split, rows: NDArray[np.int64], fits: set[Fit], each: Callable[..., Iterator[list[NDArray[np.uint8]]]]
) -> dict[Fit, NDArray[np.uint8]]:
    """Return the raw images `rows` for each fit. Each image is decoded once."""
    originals, channels = split.originals, split.images.shape[-1]
    others = [fit for fit in fits if fit != split.fit]
    views = {split.fit: split.images[rows]}
    if others and originals is not None:
        files = [originals[int(row)] for row in rows]

        def fitted(content: bytes) -> list[NDArray[np.uint8]]:
            pixels = decode(content, channels)
            return [fit(pixels) for fit in others]

        images = list(each(fitted, files))
        views |= {fit: np.stack([image[index] for image in images]) for index, fit in enumerate(others)}
    return views


def _right(model: Model, split: Split, rows: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which predictions are right. None is if the model fails, as beyond half precision."""
    try:
        predicted, _ = predict_batch(model, images, split.quality[rows])
    except FctError:
        return np.zeros(len(rows), np.bool_)
    right: NDArray[np.bool_] = predicted == split.labels[rows]
    return right


def _natural_order(names: list[str] | None) -> Labels | None:
    """Return the place of each class if numbers in names are sorted by value; None if that is the present order."""
    if names is None:
        return None
    # Texts and numbers alternate, texts first, so that like is compared with like.
    ordered = sorted(
        names,
        key=lambda name: [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", name))],
    )
    return None if ordered == names else np.array([ordered.index(name) for name in names], np.int64)
