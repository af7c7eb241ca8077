"""Measures how much JPEG disturbs a network that never saw it: the most that a robust network could gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fct.models.network import Network
from fct.splits.shards import Images
from fct.splits.store import Split
from fct.train.validation import classify

IMAGES = 1_000  # validation images to measure on, at least
HARDLY = 0.01  # accuracy; a network that loses less has little to gain
GUESSING = 0.05  # accuracy above that of always naming the most frequent class; with less, a network has learnt nothing


@dataclass(frozen=True)
class Impact:
    """Accuracy of a network on the same validation images, raw and compressed."""

    images: int
    most_frequent: float  # share of the most frequent class
    raw: float  # accuracy
    compressed: dict[int, float]  # accuracy by quality
    changed: dict[int, float]  # share of the answers that differ from those on the raw image, by quality

    def as_json(self) -> dict[str, float]:
        """Return the accuracies for `dvc metrics`."""
        return {"raw": round(self.raw, 5)} | {
            f"q{quality}": round(self.compressed[quality], 5) for quality in self.compressed
        }


def measure_impact(network: Network, val: Split, views: Mapping[int, Images], *, precision: str) -> Impact:
    """Measure `network`, in evaluation mode, on some validation images, raw and at each quality of `views`."""
    step = val.step(IMAGES)
    images, labels = val.every(step), val.labels[::step]
    raw = classify(network, images.images, images.quality, precision=precision)
    classes = {
        quality: classify(network, view[::step], np.full(len(labels), quality, np.int64), precision=precision)
        for quality, view in sorted(views.items())
    }
    return Impact(
        images=len(labels),
        most_frequent=float(np.bincount(labels).max() / len(labels)),
        raw=float((raw == labels).mean()),
        compressed={quality: float((found == labels).mean()) for quality, found in classes.items()},
        changed={quality: float((found != raw).mean()) for quality, found in classes.items()},
    )


def describe_impact(impact: Impact, size: int) -> str:
    """Return in one or two sentences what JPEG costs the network at its lowest quality, and what to do about it.

    Args:
        impact: as it was measured.
        size: the height and width of the images, in pixels.
    """
    quality = min(impact.compressed)
    cost = impact.raw - impact.compressed[quality]
    sentence = (
        f"At {size} pixels, JPEG at quality {quality} costs a network that never saw it {100 * cost:.1f} points of its "
        f"accuracy ({impact.raw:.1%} to {impact.compressed[quality]:.1%}) and changes {impact.changed[quality]:.1%} of "
        f"its answers, on {impact.images:,} validation images."
    )
    if impact.raw < impact.most_frequent + GUESSING:
        return (
            f"{sentence} It has learnt almost nothing: always naming the most frequent class is right for "
            f"{impact.most_frequent:.1%}. Lower train.learning_rate, raise train.epochs, or start from pretrained "
            "weights (`fct weights`)."
        )
    if cost < HARDLY:
        return f"{sentence} Robustness could gain little here: choose a larger data.folder.pixels."
    return sentence
