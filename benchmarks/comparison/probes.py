"""What a trained network does when something about the quality is changed, on validation images; nothing is trained.

told        accuracy when blocks are told another quality than the image has, or none, on some of the images
estimates   what the estimator says of images of each quality, on as many
misled      accuracy with the quality of the tables, its estimate and the lower of both, on as many
renormed    accuracy when batch norms have the statistics of training images at that quality, on all images
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.comparison.measure import accuracy, classify
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.views import jpeg_views, unseen_views
from fct.images.tables import UNKNOWN_QUALITY
from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.store import Split, open_split

IMAGES = 4_000  # training images that statistics are estimated on
SOME = 1_000  # at least, and fewer than twice as many: images of each of about a hundred accuracies
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
MISLEADING = ("jpegli", "double")  # distortions whose files have tables of another quality than their artefacts


def probe(settings: Settings, network: Network) -> dict[str, Any]:
    """Return accuracies, and quantiles of estimates, by quality or distortion; of what the network has."""
    val, train = open_split("val"), open_split("train")
    qualities, subsampling = settings.cache.qualities, settings.jpeg.subsampling
    size = settings.measure.batch_size
    some = train.every(train.step(IMAGES))
    names = [f"q{quality}" for quality in qualities]
    views = dict(zip(names, jpeg_views(val, qualities, subsampling), strict=True))
    trained = zip(names, jpeg_views(some, qualities, subsampling), strict=True)
    found: dict[str, Any] = {
        "renormed": {name: accuracy(renormed(network, of, size), views[name], size) for name, of in trained}
    }
    step = val.step(SOME)
    looked = {name: view.every(step) for name, view in views.items()}
    plain = _believing(network)
    if network.uses_quality:
        found["told"] = {name: _told(network, plain, view, size) for name, view in looked.items()}
    if network.estimator is not None:
        looked |= dict(unseen_views(val.every(step), MISLEADING))
        estimated = {name: estimates(network, view, size) for name, view in looked.items()}
        found["estimates"] = {name: _quantiles(estimated[name]) for name in views}
        found["misled"] = {name: _misled(plain, view, estimated[name], size) for name, view in looked.items()}
    return found


def _told(network: Network, plain: Network, view: Split, size: int) -> dict[str, float]:
    """Return the accuracy for each way to tell blocks a quality."""
    quality = int(view.quality[0])
    told = {how: accuracy(plain, _with(view, tell(quality)), size) for how, tell in TOLD.items()}
    if network.estimator is not None:
        told["estimated"] = accuracy(network, _with(view, UNKNOWN_QUALITY), size)
    return told


def _misled(plain: Network, view: Split, estimated: np.ndarray, size: int) -> dict[str, float]:
    """Return the accuracy with the quality of the tables, with its estimate, and with the lower one of each image."""
    quality = np.clip(estimated.round(), 1, 100).astype(np.int64)
    told = {"tables": view.quality, "estimated": quality, "lower": np.minimum(view.quality, quality)}
    return {how: accuracy(plain, _with(view, each), size) for how, each in told.items()}


def _believing(network: Network) -> Network:
    """Return the network without its estimator: blocks believe what they are told, and do nothing if told nothing."""
    plain = copy.deepcopy(network)
    plain.estimator = None
    return plain


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


def _with(view: Split, quality: int | np.ndarray) -> Split:
    """Return the images with other qualities: one for all, or one for each."""
    return replace(view, quality=np.broadcast_to(np.asarray(quality, np.int64), len(view)))


@torch.inference_mode()
def estimates(network: Network, view: Split, batch_size: int) -> np.ndarray:
    """Return the estimated quality of each image."""
    assert network.estimator is not None
    parts = []
    for start in range(0, len(view), batch_size):
        images = to_device(np.array(view.images[start : start + batch_size]), network.mean.device)
        parts.append(network.estimator(network.normalised(images)).cpu().numpy())
    return np.concatenate(parts)


def _quantiles(estimated: np.ndarray) -> list[float]:
    return [round(float(each), 1) for each in np.quantile(estimated, QUANTILES)]
