"""The inputs and outputs of a method, and forward passes that methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fct.methods.params import MethodParams
from fct.models.network import Network

if TYPE_CHECKING:  # some builds of torch lack it
    from torch.distributed import ProcessGroup


class Partners(NamedTuple):
    """The images that are mixed into those of a batch."""

    labels: Tensor  # int64 [B]
    share: Tensor  # float [B], of the label of each


@dataclass(frozen=True)
class Batch:
    """Both views of B images, with the same crop and flip, or each with its own."""

    raw: Tensor  # uint8 [B, C, H, W]
    raw_quality: Tensor  # int64 [B], JPEG quality of the image's file, 0 if unknown
    compressed: Tensor  # uint8 [B, C, H, W]
    quality: Tensor  # int64 [B], the JPEG quality of the compressed view
    labels: Tensor  # int64 [B]
    reference: Tensor  # uint8 [B, C, H, W], raw, with the crop and flip of the compressed view; for teachers
    partners: Partners | None = None  # with mixup or cutmix: all views are mixed with those of other images

    def of(self, places: Tensor) -> Batch:
        """Return the batch of some of the images, at `places`, int64 [M]."""
        raw = self.raw[places]
        return Batch(
            raw=raw,
            raw_quality=self.raw_quality[places],
            compressed=self.compressed[places],
            quality=self.quality[places],
            labels=self.labels[places],
            reference=raw if self.reference is self.raw else self.reference[places],
            partners=None if self.partners is None else Partners(*(values[places] for values in self.partners)),
        )


@dataclass(frozen=True)
class Share:
    """The images that this process has of a batch of several processes: every `processes`-th one, from `rank` on."""

    rank: int
    processes: int
    images: int  # of the whole batch
    generator: torch.Generator  # in the same state in all processes
    group: ProcessGroup


@dataclass(frozen=True)
class Context:
    """Other inputs of a method at a training step."""

    progress: float = 0.0  # share of the steps that are done, 0 <= progress < 1
    teacher: nn.Module | None = None  # a frozen network, or the moving average of the trained network
    projections: nn.ModuleDict | None = None  # by `layer_key`; trained with the network, but not part of it
    label_smoothing: float = 0.0  # share of the label's probability that is spread over all classes
    share: Share | None = None  # None: this process has the whole batch

    def draw(self, random: Callable[..., Tensor], shape: Sequence[int], device: torch.device) -> Tensor:
        """Return random numbers, of `shape` [B, ...], for the images of a batch.

        Args:
            random: `torch.rand` or `torch.randn`. Several processes draw the numbers of one process, and take theirs.
            shape: the first number is of the images that this process has.
            device: the device of the numbers.
        """
        if self.share is None:
            return random(shape, device=device)
        whole = random((self.share.images, *shape[1:]), device=device, generator=self.share.generator)
        return whole[self.share.rank :: self.share.processes]


START = Context()


class Loss(NamedTuple):
    """A loss, and its parts for the training curves."""

    total: Tensor  # []
    parts: dict[str, Tensor]  # each []


def mean_cross_entropy(logits: Tensor, batch: Batch, context: Context) -> Tensor:
    """Return the mean cross entropy, [], of logits [B, classes], or of the logits of both views, [2 B, classes].

    A mixed image has the labels of both images, each with its share.
    """
    views, smoothing = len(logits) // len(batch.labels), context.label_smoothing
    logits, labels = logits.float(), batch.labels.repeat(views)
    if batch.partners is None:
        return cross_entropy(logits, labels, label_smoothing=smoothing)
    losses, others = (
        cross_entropy(logits, each, label_smoothing=smoothing, reduction="none")
        for each in (labels, batch.partners.labels.repeat(views))
    )
    return torch.lerp(losses, others, batch.partners.share.repeat(views)).mean()


Halves = dict[str, tuple[Tensor, Tensor]]  # layer -> features of the raw and of the compressed images


def forward_both(network: Network, batch: Batch, params: MethodParams) -> tuple[Tensor, Halves]:
    """Pass both views through `network`.

    With `params.batch_norm: shared`, one pass uses batch statistics of both views together. With `per-view`, each view
    has its own pass and statistics. In both cases the running statistics are those of both views.

    Returns:
        Logits [2 B, classes], raw images first, and for each layer the features of the raw and the compressed images.
    """
    if params.batch_norm == "per-view":
        logits, features = network(batch.raw, batch.raw_quality)
        compressed_logits, compressed_features = network(batch.compressed, batch.quality)
        pairs = {layer: (feature, compressed_features[layer]) for layer, feature in features.items()}
        return torch.cat([logits, compressed_logits]), pairs
    image = torch.cat([batch.raw, batch.compressed])
    logits, features = network(image, torch.cat([batch.raw_quality, batch.quality]))
    halves: Halves = {}
    for layer, feature in features.items():
        raw, compressed = feature.chunk(2)
        halves[layer] = raw, compressed
    return logits, halves


def one_view(batch: Batch, probability: float, context: Context) -> tuple[Tensor, Tensor]:
    """Return one view of each image, uint8 [B, C, H, W], and its quality, int64 [B].

    It is compressed with `probability`, else raw. Both have the crop and flip of `batch.reference`.
    """
    is_compressed = context.draw(torch.rand, batch.labels.shape, batch.labels.device) < probability  # [B]
    image = torch.where(is_compressed[:, None, None, None], batch.compressed, batch.reference)
    return image, torch.where(is_compressed, batch.quality, batch.raw_quality)


Output = tuple[Tensor, dict[str, Tensor]]  # logits and features


@torch.no_grad()
def teacher_outputs(teacher: nn.Module, batch: Batch, *, both: bool) -> list[Output]:
    """Return the teacher's output for the reference, [reference], or for both crops, [raw view, reference]."""
    reference_output: Output = teacher(batch.reference, batch.raw_quality)
    if not both:
        return [reference_output]
    shares_crop = batch.reference is batch.raw
    return [reference_output if shares_crop else teacher(batch.raw, batch.raw_quality), reference_output]
