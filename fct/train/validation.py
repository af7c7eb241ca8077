"""Validation accuracy during training, on raw images and on images compressed at the trained qualities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.shards import Images
from fct.splits.store import Split, drop_pages
from fct.train.precision import autocast

BATCH = 512 * 32 * 32  # pixels in one forward pass


class Validation(NamedTuple):
    """Accuracies in 0..1."""

    raw: float
    compressed: float  # mean over the trained qualities
    finite: bool  # whether all logits are finite


@torch.inference_mode()
def validate(network: Network, split: Split, views: Mapping[int, Images], *, precision: str) -> Validation:
    """Measure the accuracy of `network` on `split`.

    Each image is seen raw and at one quality; the qualities take turns over the images. This estimates the mean over
    qualities with two forward passes per image. All calls use the same pairs of image and quality.
    """
    device = network.mean.device
    qualities = list(views)
    correct = np.zeros((2, len(split)), bool)
    finite = torch.ones((), dtype=torch.bool, device=device)
    training = network.training
    network.eval()
    batch = _batch_size(split.images)
    for start in range(0, len(split), batch):
        rows = np.arange(start, min(start + batch, len(split)))
        quality = np.array(qualities, np.int64)[rows % len(qualities)]
        compressed = np.stack([views[int(q)][row] for q, row in zip(quality, rows, strict=True)])
        for view, (images, view_quality) in enumerate(
            [(split.images[rows], split.quality[rows]), (compressed, quality)]
        ):
            logits = _logits(network, images, view_quality, precision)
            finite &= logits.isfinite().all()
            correct[view, rows] = logits.argmax(1).cpu().numpy() == split.labels[rows]
        drop_pages(split.images, *views.values())
    network.train(training)
    raw_accuracy, compressed_accuracy = correct.mean(1)
    return Validation(float(raw_accuracy), float(compressed_accuracy), bool(finite))


@torch.inference_mode()
def classify(network: Network, images: Images, quality: NDArray[np.int64], *, precision: str) -> NDArray[np.int64]:
    """Return the class [N] that `network`, in evaluation mode, gives to each image [N, H, W, C] of a quality [N]."""
    batch = _batch_size(images)
    parts = [
        _logits(network, images[start : start + batch], quality[start : start + batch], precision)
        .argmax(1)
        .cpu()
        .numpy()
        for start in range(0, len(images), batch)
    ]
    classes: NDArray[np.int64] = np.concatenate(parts)
    return classes


def _logits(network: Network, images: Images, quality: NDArray[np.int64], precision: str) -> Tensor:
    device = network.mean.device
    with autocast(precision, device):
        logits, _ = network(to_device(np.array(images), device), torch.from_numpy(np.array(quality)).to(device))
    result: Tensor = logits
    return result


def _batch_size(images: Images) -> int:
    height, width = images.shape[1:3]
    return int(max(1, BATCH // (height * width)))
