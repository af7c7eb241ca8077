"""`augment`: compression as data augmentation. Each image is a sample, either raw or compressed."""

from __future__ import annotations

import torch

from fct.methods.batch import START, Batch, Context, Loss, mean_cross_entropy
from fct.methods.params import MethodParams
from fct.models.network import Network

VIEWS = 1


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of images, each of which is compressed with probability `params.probability`."""
    is_compressed = context.draw(torch.rand, batch.labels.shape, batch.labels.device) < params.probability  # [B]
    image = torch.where(is_compressed[:, None, None, None], batch.compressed, batch.raw)
    logits, _ = network(image, torch.where(is_compressed, batch.quality, batch.raw_quality))
    total = mean_cross_entropy(logits, batch, context)
    return Loss(total, {"cross_entropy": total})
