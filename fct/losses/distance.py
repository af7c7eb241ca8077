"""Distances between features of compressed and of raw images: D in the losses."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss

Distance = Literal["mse", "centred-mse", "cosine"]
TINY = 1e-6  # keeps the centred distance finite for a constant feature


def distance(compressed: Tensor, raw: Tensor, kind: Distance) -> Tensor:
    """Return D(compressed, raw) >= 0, a scalar, for features of shape [B, C, ...].

    - "mse": the mean squared difference.
    - "centred-mse": mse divided by the raw feature's variance around each channel's mean. A network cannot lower it by
      scaling its features or by adding a constant to them.
    - "cosine": 1 - cos of the angle between an image's two feature vectors, averaged over images.
    """
    compressed, raw = compressed.float(), raw.float()
    if kind == "cosine":
        return 1 - cosine_similarity(compressed.flatten(1), raw.flatten(1)).mean()
    difference = mse_loss(compressed, raw)
    if kind == "mse":
        return difference
    channel_mean = raw.mean(dim=[axis for axis in range(raw.ndim) if axis != 1], keepdim=True)
    return difference / ((raw - channel_mean).square().mean() + TINY)
