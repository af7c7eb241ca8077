"""What a method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fct.models.network import Network


@dataclass(frozen=True)
class Batch:
    """Both views of B images, under the same crop and flip."""

    raw: Tensor  # uint8 [B, C, H, W]
    raw_quality: Tensor  # int64 [B], the JPEG quality an image came with, 100 if none
    compressed: Tensor  # uint8 [B, C, H, W]
    quality: Tensor  # int64 [B], the JPEG quality of the compressed view
    labels: Tensor  # int64 [B]


class Loss(NamedTuple):
    """A loss and the parts it is made of, for the training curves."""

    total: Tensor  # []
    parts: dict[str, Tensor]  # each []


def forward_both(network: Network, batch: Batch) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Pass both views through `network` together: shared weights, shared batch statistics.

    Returns:
        Logits [2 B, classes], raw images first, and for each layer the features of the raw and the compressed images.
    """
    image = torch.cat([batch.raw, batch.compressed])
    logits, features = network(image, torch.cat([batch.raw_quality, batch.quality]))
    halves: dict[str, tuple[Tensor, Tensor]] = {}
    for layer, feature in features.items():
        raw, compressed = feature.chunk(2)
        halves[layer] = raw, compressed
    return logits, halves
