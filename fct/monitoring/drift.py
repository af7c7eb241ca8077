"""How far the images that a model was asked about are from those that it was trained on.

The distance of two histograms is Jensen and Shannon's, to base 2: 0 for equal shares, 1 for histograms without a common
value (J. Lin, IEEE Transactions on Information Theory 37, 1991; `scipy.spatial.distance.jensenshannon`).

Samples of the same shares have a distance above 0, the more so the fewer they are. The same happens once more when they
are resampled. The basic bootstrap interval (A. Davison and D. Hinkley, Bootstrap Methods, 1997, 5.2) takes that from
the value, so a few images alone seldom look like a drift; the percentile interval would add it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.intervals import Estimate
from fct.images.tables import UNKNOWN_QUALITY

RESAMPLES = 2000
AT_A_TIME = 1_000_000  # shares of resamples that are in memory
COMPRESSED = 0.5  # share of the views of a training that were compressed: methods show each image raw and compressed
APART = 5  # JPEG qualities between two proposals
RARE = 0.01  # share of the images below the training that no proposal needs to reach

BINS = ("none", "1 to 9", *(f"{low} to {low + 9}" for low in range(10, 90, 10)), "90 to 100")  # of JPEG qualities


@dataclass(frozen=True)
class Histogram:
    """Two histograms over the same values."""

    values: Sequence[str]
    served: NDArray[np.int64]  # images, [V]
    reference: NDArray[np.float64]  # shares, [V], sum 1
    reference_images: int  # that the shares were counted on

    @property
    def shares(self) -> NDArray[np.float64]:
        """Shares of the served images, [V]."""
        shares: NDArray[np.float64] = self.served / max(1, self.served.sum())
        return shares

    def distance(self, confidence: float) -> Estimate:
        """Return the distance of the two, 0..1, with its interval. The same counts give the same result.

        Args:
            confidence: the confidence of the two-sided interval, 0..1.
        """
        from scipy.spatial.distance import jensenshannon

        rng, distances = np.random.default_rng(0), []
        step = max(1, AT_A_TIME // len(self.values))
        for start in range(0, RESAMPLES, step):
            rows = min(step, RESAMPLES - start)
            served = rng.multinomial(self.served.sum(), self.shares, rows)
            reference = rng.multinomial(self.reference_images, self.reference, rows)
            distances.append(jensenshannon(served, reference, base=2, axis=1))
        value = float(np.nan_to_num(jensenshannon(self.shares, self.reference, base=2)))
        resampled = np.nan_to_num(np.concatenate(distances))  # nan: rounding of a distance of 0
        tail = (1 - confidence) / 2
        low, high = 2 * value - np.quantile(resampled, [1 - tail, tail])
        return Estimate(value, min(value, max(0.0, float(low))), max(value, min(1.0, float(high))))


def quality_histogram(served: Mapping[int, int], files: NDArray[np.int64], trained: Sequence[int]) -> Histogram:
    """Compare JPEG qualities with those of the training: images as they are, and compressed at the trained qualities.

    Args:
        served: images by quality, `UNKNOWN_QUALITY` (0) without tables.
        files: the quality of each training image's file, [N], 0 without tables.
        trained: the trained qualities, each as often as the others.
    """
    raw = np.bincount(_bins(files), minlength=len(BINS)) / max(1, len(files))
    compressed = np.bincount(_bins(np.array(trained, np.int64)), minlength=len(BINS)) / max(1, len(trained))
    share = COMPRESSED if len(trained) else 0.0
    counts = np.zeros(len(BINS), np.int64)
    np.add.at(counts, _bins(np.array(list(served), np.int64)), np.array(list(served.values()), np.int64))
    return Histogram(BINS, counts, (1 - share) * raw + share * compressed, len(files))


def class_histogram(served: Mapping[str, int], labels: NDArray[np.int64], classes: Sequence[str]) -> Histogram:
    """Compare the predicted classes with the labels of a split.

    Args:
        served: images by predicted class.
        labels: the label of each image of the split, [N].
        classes: their names, by label.
    """
    names = [*classes, *(name for name in sorted(served) if name not in classes)]
    reference = np.bincount(labels, minlength=len(names)) / max(1, len(labels))
    return Histogram(names, np.array([served.get(name, 0) for name in names], np.int64), reference, len(labels))


def below(served: Mapping[int, int], trained: Sequence[int]) -> dict[int, int]:
    """Return the images below every trained quality, by quality, ascending. Images without tables never are."""
    lowest = min(trained, default=1)
    return {quality: served[quality] for quality in sorted(served) if UNKNOWN_QUALITY < quality < lowest}


def propose(served: Mapping[int, int], trained: Sequence[int]) -> list[int]:
    """Return qualities to train, ascending: the lowest of those below the training, and others at least 5 apart.

    The lowest hundredth of these images decides nothing: one broken file should not cost a training.

    Args:
        served: images by quality.
        trained: the qualities that are trained now.
    """
    outside = below(served, trained)
    rare = RARE * sum(outside.values())
    proposals: list[int] = []
    lower = 0
    for quality, count in outside.items():
        lower += count
        if lower > rare and (not proposals or quality >= proposals[-1] + APART):
            proposals.append(quality)
    return proposals


def _bins(qualities: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index in `BINS` of each quality."""
    return np.where(qualities == UNKNOWN_QUALITY, 0, np.minimum(qualities // 10, 9) + 1)
