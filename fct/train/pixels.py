"""Random changes of pixels on whole batches: colours, policies, cutout, erasing, mixup and cutmix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct.methods.batch import Batch, Partners
from fct.models.device import move_to
from fct.train.crop import Augmentation, Part, cutout_mask, draw_boxes

ERASED = (0.02, 0.33)  # share of the area, and ratio of width to height, of Zhong et al., "Random Erasing", 2020
ERASED_RATIO = (0.3, 3.3)

Whole = NDArray[np.int64] | NDArray[np.float64] | NDArray[np.float32]  # numbers without a fraction


def change(
    augmentation: Augmentation, views: Sequence[Tensor], rng: np.random.Generator, part: Part | None = None
) -> Sequence[Tensor]:
    """Return the views, uint8 [B, C, H, W], of a batch, all changed in the same way, as `augmentation` says.

    Args:
        augmentation: the changes.
        views: the images of `part`.
        rng: draws for the whole batch.
        part: which images of the batch these are; None: all.
    """
    part = part or Part.whole(len(views[0]))
    if augmentation.colour_jitter or augmentation.policy != "none":
        from fct.train.colours import apply_policy, jitter  # only here: torchvision takes seconds to import

        if augmentation.colour_jitter:
            views = jitter(augmentation.colour_jitter, views, rng, part)
        if augmentation.policy != "none":
            views = apply_policy(augmentation.policy, views, rng, part)
    (_, _, height, width), count = views[0].shape, part.count
    if augmentation.cutout:
        black = cutout_mask(augmentation, (count, height, width), rng)[part.places]
        mask = move_to(black, views[0].device)[:, None]
        views = [view * mask for view in views]
    if augmentation.erasing:
        erased = rng.random(count) < augmentation.erasing
        inside = _inside(*draw_boxes(count, height, ERASED, ERASED_RATIO, rng), height)
        mask = move_to(~(inside & erased[:, None, None])[part.places], views[0].device)[:, None]
        views = [view * mask for view in views]
    return views


@dataclass(frozen=True)
class Mix:
    """Mixup or cutmix of a batch of B images: which two are mixed, and how much of each pixel is the image's own.

    Zhang et al., "mixup", 2018, and Yun et al., "CutMix", 2019. Images are mixed in pairs, so both can have the same
    quality: a mixture of two qualities has no quality that a network could get. For two raw files with different
    qualities, the one with the larger share decides.
    """

    partner: NDArray[np.int64]  # [B]; the partner's partner is the image itself
    share: NDArray[np.float32]  # [B], of the image's own label
    own: NDArray[np.float32]  # [B, 1, 1], or [B, H, W]: the share of each pixel that is the image's own

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int, side: int, rng: np.random.Generator) -> Mix | None:
        """Draw partners and shares for `count` images of `side` pixels. Return None without mixup and cutmix.

        If both are on, each batch gets one of them.
        """
        alphas = [augmentation.mixup, augmentation.cutmix]
        if not any(alphas):
            return None
        cuts = augmentation.cutmix > 0 and (augmentation.mixup == 0 or rng.random() < 0.5)
        share = rng.beta(alphas[cuts], alphas[cuts], count).astype(np.float32)
        order, partner = rng.permutation(count), np.arange(count)
        first, second = order[: count // 2], order[count // 2 : 2 * (count // 2)]
        partner[first], partner[second] = second, first
        if not cuts:
            return cls(partner, share, share[:, None, None])
        length = np.sqrt(1 - share) * side  # of the square that is the partner's
        top, left = ((rng.uniform(0, side, count) - length / 2).round() for _ in range(2))
        own = (~_inside(top, left, length.round(), length.round(), side)).astype(np.float32)
        return cls(partner, own.mean((1, 2)), own)

    def with_partners(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in the batch, ascending, of some images and of the images that are mixed into them."""
        return np.union1d(places, self.partner[places])

    def of(self, places: NDArray[np.int64]) -> Mix:
        """Return the mixing of the images at `places` alone, which `with_partners` returned."""
        return Mix(np.searchsorted(places, self.partner[places]), self.share[places], self.own[places])

    def share_quality(self, quality: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the qualities [B] of compressed views, the same for both images of a pair."""
        shared: NDArray[np.int64] = quality[np.minimum(self.partner, np.arange(len(quality)))]
        return shared

    def apply(self, batch: Batch) -> Batch:
        """Return the batch with mixed views."""
        device = batch.raw.device
        partner, share = move_to(self.partner, device), move_to(self.share, device)
        own = move_to(self.own, device)[:, None]

        def mixed(view: Tensor) -> Tensor:
            pixels = view.float()
            return torch.lerp(pixels[partner], pixels, own).round().to(torch.uint8)

        reference = mixed(batch.reference)
        return replace(
            batch,
            raw=reference if batch.raw is batch.reference else mixed(batch.raw),
            raw_quality=torch.where(share >= 0.5, batch.raw_quality, batch.raw_quality[partner]),
            compressed=mixed(batch.compressed),
            reference=reference,
            partners=Partners(batch.labels[partner], 1 - share),
        )


def _inside(
    top: Whole,
    left: Whole,
    height: Whole,
    width: Whole,
    side: int,
) -> NDArray[np.bool_]:
    """Return which pixels, [B, side, side], lie in a box. The part of the box outside the image is cut off."""
    places = np.arange(side)
    rows = (top[:, None] <= places) & (places < (top + height)[:, None])
    columns = (left[:, None] <= places) & (places < (left + width)[:, None])
    inside: NDArray[np.bool_] = rows[:, :, None] & columns[:, None, :]
    return inside
