"""Validation accuracy during training, on raw images and on images compressed at the trained qualities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from fct.models.device import to_device
from fct.models.network import Network
from fct.splits.store import Split, drop_pages
from fct.train.batches import Images
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
    batch = max(1, BATCH // (split.images.shape[1] * split.images.shape[2]))  # images
    for start in range(0, len(split), batch):
        rows = np.arange(start, min(start + batch, len(split)))
        quality = np.array(qualities, np.int64)[rows % len(qualities)]
        compressed = np.stack([views[int(q)][row] for q, row in zip(quality, rows, strict=True)])
        for view, (images, view_quality) in enumerate(
            [(split.images[rows], split.quality[rows]), (compressed, quality)]
        ):
            with autocast(precision, device):
                logits, _ = network(to_device(images, device), torch.from_numpy(view_quality).to(device))
            finite &= logits.isfinite().all()
            correct[view, rows] = logits.argmax(1).cpu().numpy() == split.labels[rows]
        drop_pages(split.images, *views.values())
    network.train(training)
    raw_accuracy, compressed_accuracy = correct.mean(1)
    return Validation(float(raw_accuracy), float(compressed_accuracy), bool(finite))
