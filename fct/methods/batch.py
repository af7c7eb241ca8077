"""What a method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fct.methods.params import MethodParams
from fct.models.network import Network


@dataclass(frozen=True)
class Batch:
    """Both views of B images, under the same crop and flip, or each under its own."""

    raw: Tensor  # uint8 [B, C, H, W]
    raw_quality: Tensor  # int64 [B], the JPEG quality an image came with, 0 if none
    compressed: Tensor  # uint8 [B, C, H, W]
    quality: Tensor  # int64 [B], the JPEG quality of the compressed view
    labels: Tensor  # int64 [B]
    reference: Tensor  # uint8 [B, C, H, W], raw, under the crop and flip of the compressed view: for teachers


@dataclass(frozen=True)
class Context:
    """What else a training holds at a step."""

    progress: float = 0.0  # share of the steps that lie behind, 0 <= progress < 1
    teacher: nn.Module | None = None  # a network, frozen or the moving average of the one that is trained
    projections: nn.ModuleDict | None = None  # by `layer_key` a layer; trained with the network, and not a part of it
    label_smoothing: float = 0.0  # share of a label's probability that is spread over all classes


START = Context()


class Loss(NamedTuple):
    """A loss and the parts it is made of, for the training curves."""

    total: Tensor  # []
    parts: dict[str, Tensor]  # each []


def mean_cross_entropy(logits: Tensor, labels: Tensor, context: Context) -> Tensor:
    """Return the mean cross entropy, [], of logits [B, classes], or of both views, [2 B, classes]."""
    repeated = labels.repeat(len(logits) // len(labels))
    return cross_entropy(logits.float(), repeated, label_smoothing=context.label_smoothing)


Halves = dict[str, tuple[Tensor, Tensor]]  # layer -> features of the raw and of the compressed images


def forward_both(network: Network, batch: Batch, params: MethodParams) -> tuple[Tensor, Halves]:
    """Pass both views through `network`: shared weights.

    By `params.batch_norm` the views are normalised by statistics of their union, in one pass, or each by its own, in
    two. Either way a network has one set of running statistics, which are of both views.

    Returns:
        Logits [2 B, classes], raw images first, and for each layer the features of the raw and the compressed images.
    """
    if params.batch_norm == "per-view":
        logits, features = network(batch.raw, batch.raw_quality)
        others, moved = network(batch.compressed, batch.quality)
        return torch.cat([logits, others]), {layer: (feature, moved[layer]) for layer, feature in features.items()}
    image = torch.cat([batch.raw, batch.compressed])
    logits, features = network(image, torch.cat([batch.raw_quality, batch.quality]))
    halves: Halves = {}
    for layer, feature in features.items():
        raw, compressed = feature.chunk(2)
        halves[layer] = raw, compressed
    return logits, halves


Output = tuple[Tensor, dict[str, Tensor]]  # logits and features


@torch.no_grad()
def teacher_outputs(teacher: nn.Module, batch: Batch, *, both: bool) -> list[Output]:
    """Return what a teacher makes of the compressed view's raw image, and, before it, of the raw view if of `both`."""
    of_compressed: Output = teacher(batch.reference, batch.raw_quality)
    if not both:
        return [of_compressed]
    same = batch.reference is batch.raw
    return [of_compressed if same else teacher(batch.raw, batch.raw_quality), of_compressed]
