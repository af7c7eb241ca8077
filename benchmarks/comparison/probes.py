"""What a trained network does when something about the quality is changed, on validation images; nothing is trained.

told        accuracy when blocks are told another quality than the image has, or none
estimates   what the estimator says of images of each quality
renormed    accuracy when batch norms have the statistics of training images at that quality
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.comparison.measure import classify
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.views import jpeg_views
from fct.images.tables import UNKNOWN_QUALITY
from fct.models.device import to_device
from fct.models.network import Network
from fct.nn.estimator import QualityEstimator
from fct.splits.store import Split, open_split

IMAGES = 4_000  # training images that statistics are estimated on
FAR = 20  # quality points that a wrong quality is off
CONSTANT = 50
TOLD: dict[str, Callable[[int], int]] = {
    "right": lambda quality: quality,
    "hidden": lambda _: UNKNOWN_QUALITY,
    "constant": lambda _: CONSTANT,
    "too high": lambda quality: min(100, quality + FAR),
    "too low": lambda quality: max(1, quality - FAR),
}
QUANTILES = (0.1, 0.5, 0.9)


def probe(settings: Settings, network: Network) -> dict[str, Any]:
    """Return accuracies, and quantiles of estimates, by quality; of what the network has."""
    val, train = open_split("val"), open_split("train")
    qualities, subsampling = settings.cache.qualities, settings.jpeg.subsampling
    size = settings.measure.batch_size
    some = train.every(train.step(IMAGES))
    plain = copy.deepcopy(network)
    plain.estimator = None  # where the quality is hidden, blocks change nothing
    found: dict[str, Any] = {"renormed": {}}
    pairs = zip(jpeg_views(val, qualities, subsampling), jpeg_views(some, qualities, subsampling), strict=True)
    for quality, (view, trained) in zip(qualities, pairs, strict=True):
        name = f"q{quality}"
        found["renormed"][name] = _accuracy(renormed(network, trained, size), view, size)
        if not network.uses_quality:
            continue
        found.setdefault("told", {})[name] = {
            how: _accuracy(plain, _told(view, tell(quality)), size) for how, tell in TOLD.items()
        }
        if network.estimator is not None:
            found["told"][name]["estimated"] = _accuracy(network, _told(view, UNKNOWN_QUALITY), size)
            estimates = np.quantile(np.concatenate([*_estimates(network, network.estimator, view, size)]), QUANTILES)
            found.setdefault("estimates", {})[name] = [round(float(each), 1) for each in estimates]
    return found


@torch.no_grad()
def renormed(network: Network, split: Split, batch_size: int) -> Network:
    """Return the network with the batch norms' statistics of the images of `split`, in evaluation mode."""
    changed = copy.deepcopy(network)
    for module in changed.backbone.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
            module.train()
    classify(changed, split, batch_size)
    return changed.eval()


def _told(view: Split, quality: int) -> Split:
    return replace(view, quality=np.full(len(view), quality, np.int64))


def _accuracy(network: Network, view: Split, batch_size: int) -> float:
    return round(float((classify(network, view, batch_size) == view.labels).mean()), 5)


@torch.inference_mode()
def _estimates(network: Network, estimator: QualityEstimator, view: Split, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the estimated qualities of the images, in batches."""
    for start in range(0, len(view), batch_size):
        images = to_device(np.array(view.images[start : start + batch_size]), network.mean.device)
        yield estimator(network.normalised(images)).cpu().numpy()
