"""Distances between features of raw and of compressed images: D in the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss

if TYPE_CHECKING:  # some builds of torch lack it
    from torch.distributed import ProcessGroup

Distance = Literal["mse", "centred-mse", "cosine"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)
TINY = 1e-6  # keeps the centred distance finite for a constant feature


def feature_distance(
    raw: Tensor, compressed: Tensor, distance: Distance = "centred-mse", *, group: ProcessGroup | None = None
) -> Tensor:
    """Return D(compressed, raw) >= 0, how far compression moved a feature.

    - "mse": the mean squared difference.
    - "centred-mse": mse divided by the raw feature's variance around each channel's mean over images and positions,
      plus 1e-6. A network cannot lower it by scaling its features or by adding a constant to them. It needs more than
      one value per channel, and batches of many images: in small batches the variance can be small by chance.
    - "cosine": 1 - cos of the angle between an image's two feature vectors, averaged over images.

    Args:
        raw: features of the raw images, float [B, C, ...], channels second.
        compressed: features of the same images compressed, of the same shape and on the same device. Half precision is
            computed in float32.
        distance: "mse", "centred-mse" or "cosine".
        group: processes that share a batch. The variance of "centred-mse" is then that of all their images; the mean
            squared difference stays that of this process, whose gradients DistributedDataParallel averages. All of the
            processes must make this call. None: the batch is in this process alone.

    Returns:
        float32 [].

    Raises:
        TypeError: a feature is not a tensor.
        ValueError: the features differ in shape or device, are not floats, there is no such distance, or "centred-mse"
            has one image without positions, which has no variance.

    Example:
        >>> raw = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> feature_distance(raw, raw + 1, "mse")
        tensor(1.)
    """
    check_features(raw, compressed)
    raw, compressed = raw.float(), compressed.float()
    if distance == "cosine":
        return 1 - cosine_similarity(compressed.flatten(1), raw.flatten(1)).mean()
    if distance not in DISTANCES:
        raise ValueError(f"distance is {distance!r}; it is one of {', '.join(DISTANCES)}.")
    difference = mse_loss(compressed, raw)
    if distance == "mse":
        return difference
    if raw.numel() <= raw.shape[1]:
        raise ValueError(
            f"the raw feature has shape {list(raw.shape)}: one value per channel has no variance. Use batches of more "
            'images (drop_last=True in a DataLoader), or distance="cosine".'
        )
    others = [axis for axis in range(raw.ndim) if axis != 1]
    if group is not None:
        return difference / (_variance_of_all(raw, others, group) + TINY)
    channel_mean = raw.mean(dim=others, keepdim=True)
    return difference / ((raw - channel_mean).square().mean() + TINY)


def _variance_of_all(raw: Tensor, others: list[int], group: ProcessGroup) -> Tensor:
    """Return the variance, [], of the features of all processes. Gradients flow to the features of each process."""
    count = raw.new_full((1,), raw.numel() // raw.shape[1])  # of values of a channel; processes may have other numbers
    sums: Tensor = _SumOfAll.apply(torch.cat([raw.sum(others), count]), group)
    channel_mean, count = sums[:-1] / sums[-1], sums[-1]
    squares = (raw - channel_mean.view(-1, *[1] * (raw.ndim - 2))).square().sum()
    total: Tensor = _SumOfAll.apply(squares, group)
    return total / (count * raw.shape[1])


class _SumOfAll(torch.autograd.Function):
    """The sum over processes. Its gradient is the sum of their gradients, as each process uses the sum.

    torch.distributed.nn.functional.all_reduce was the same, but is deprecated, and what follows it is private.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: ProcessGroup) -> Tensor:
        """Return the sum of all processes' values."""
        ctx.group = group
        return _all_reduce(values, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the sum of all processes' gradients."""
        return _all_reduce(gradients[0], ctx.group), None


def _all_reduce(values: Tensor, group: ProcessGroup) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total, group=group)
    return total


def check_features(raw: Tensor, compressed: Tensor) -> None:
    """Check two features.

    Raises:
        TypeError: a feature is not a tensor.
        ValueError: the features differ in shape or device, or are not floats.
    """
    for name, feature in (("raw", raw), ("compressed", compressed)):
        if not isinstance(feature, Tensor):
            raise TypeError(f"the {name} feature is {type(feature).__name__}; it is a tensor [B, C, ...].")
        if not feature.is_floating_point() or feature.ndim < 2:
            raise ValueError(
                f"the {name} feature is {feature.dtype} {list(feature.shape)}; it is a float tensor [B, C, ...]."
            )
    if raw.shape != compressed.shape:
        raise ValueError(
            f"the raw feature has shape {list(raw.shape)}, the compressed one {list(compressed.shape)}. Both need the "
            "same images in the same order, from layers of the same shape; another architecture cannot be the teacher."
        )
    if raw.device != compressed.device:
        raise ValueError(
            f"the raw feature is on {raw.device}, the compressed one on {compressed.device}; move one of them."
        )
