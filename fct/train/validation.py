"""Validation accuracy during training: raw, and compressed at the trained qualities."""

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

BATCH = 512 * 32 * 32  # pixels forwarded at a time


class Validation(NamedTuple):
    """Accuracies in 0..1."""

    raw: float
    compressed: float  # mean over the trained qualities
    finite: bool  # whether every logit is a number


@torch.inference_mode()
def validate(network: Network, split: Split, views: Mapping[int, Images], *, precision: str) -> Validation:
    """Measure `network` on `split`.

    Image k is seen raw and at one quality, the k-th in turn: as good an estimate of the mean over qualities as one can
    have for two forward passes an image, and the same images and qualities at each call.
    """
    device = network.mean.device
    qualities = list(views)
    right = np.zeros((2, len(split)), bool)
    finite = torch.ones((), dtype=torch.bool, device=device)
    training = network.training
    network.eval()
    batch = max(1, BATCH // (split.images.shape[1] * split.images.shape[2]))  # images
    for start in range(0, len(split), batch):
        rows = np.arange(start, min(start + batch, len(split)))
        quality = np.array(qualities, np.int64)[rows % len(qualities)]
        compressed = np.stack([views[int(q)][row] for q, row in zip(quality, rows, strict=True)])
        for view, (images, known) in enumerate([(split.images[rows], split.quality[rows]), (compressed, quality)]):
            with autocast(precision, device):
                logits, _ = network(to_device(images, device), torch.from_numpy(known).to(device))
            finite &= logits.isfinite().all()
            right[view, rows] = logits.argmax(1).cpu().numpy() == split.labels[rows]
        drop_pages(split.images, *views.values())
    network.train(training)
    raw, compressed_accuracy = right.mean(1)
    return Validation(float(raw), float(compressed_accuracy), bool(finite))
