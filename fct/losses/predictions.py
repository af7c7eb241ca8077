"""Losses that keep predictions of raw and of compressed images together: stability, Jensen-Shannon, distillation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from fct.losses.weight import check_weight

TEMPERATURE = 4.0  # a value of Hinton et al. for softened predictions


def kl_divergence(target: Tensor, logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(target || prediction), a mean over images, of predictions at temperature T.

    Args:
        target: logits of the prediction to reach, float [B, classes]. It gets gradients, unless it is detached.
        logits: float [B, classes].
        temperature: T > 0. A higher one gives more weight to the classes that are not predicted.

    Returns:
        float32 [], or of the logits' type if that is wider.

    Raises:
        ValueError: the logits differ in shape or device or are not float [B, classes], or the temperature is not > 0.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> kl_divergence(logits, logits)
        tensor(0.)
    """
    target, logits = _checked(target, logits)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature!r}; it is a number above 0.")
    soft, soft_target = log_softmax(logits / temperature, 1), log_softmax(target / temperature, 1)
    return temperature**2 * kl_div(soft, soft_target, reduction="batchmean", log_target=True)


def jensen_shannon(raw: Tensor, compressed: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of two predictions, a mean over images.

    1/2 [KL(f || m) + KL(g || m)],    m = 1/2 [f + g]

    Args:
        raw: logits of the raw images, float [B, classes].
        compressed: logits of the same images compressed.

    Returns:
        float32 [], or of the logits' type if that is wider; 0 to log 2.

    Raises:
        ValueError: the logits differ in shape or device, or are not float [B, classes].

    Example:
        >>> sure, wrong = torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])
        >>> jensen_shannon(sure, wrong)  # log 2
        tensor(0.6931)
    """
    raw, compressed = _checked(raw, compressed)
    log_probabilities = torch.stack([log_softmax(raw, 1), log_softmax(compressed, 1)])  # [2, B, classes]
    mean = log_probabilities.logsumexp(0) - math.log(2)
    divergence = kl_div(mean.expand_as(log_probabilities), log_probabilities, reduction="sum", log_target=True)
    return divergence / (2 * len(raw))


class StabilityLoss(nn.Module):
    """Keep the prediction of a compressed image at that of the raw image: weight * KL(f(x) || f(x~)).

    Zheng et al., "Improving the Robustness of Deep Neural Networks via Stability Training", CVPR 2016, equation 3, with
    their cross entropy replaced by the divergence, which differs by the entropy of f(x). Use it with the cross entropy
    of the raw images alone.

    Args:
        weight: a number >= 0.

    Shape:
        raw: logits of the raw images, float [B, classes].
        compressed: logits of the same images compressed.
        output: float32 [].

    Raises:
        ValueError: the weight is out of range, or the logits do not fit; see `kl_divergence`.

    Example:
        >>> stability = StabilityLoss()
        >>> both = torch.randn(8, 10, requires_grad=True)  # logits of four raw images, then of the same four compressed
        >>> stability(*both.chunk(2)).backward()
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_weight(weight)

    def forward(self, raw: Tensor, compressed: Tensor) -> Tensor:
        """Return the weighted divergence."""
        return self.weight * kl_divergence(raw, compressed)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"weight={self.weight}"


class JSDLoss(nn.Module):
    """Keep both predictions of an image close to their mean: weight * the Jensen-Shannon divergence.

    Hendrycks et al., "AugMix", ICLR 2020, equation 2, with one compressed view instead of two augmented ones. Use it
    with the cross entropy of the raw images alone.

    Args:
        weight: a number >= 0. AugMix uses 12; in this project's comparison 4 was better.

    Shape:
        raw: logits of the raw images, float [B, classes].
        compressed: logits of the same images compressed.
        output: float32 [].

    Raises:
        ValueError: the weight is out of range, or the logits do not fit; see `jensen_shannon`.

    Example:
        >>> jsd = JSDLoss()
        >>> both = torch.randn(8, 10, requires_grad=True)  # logits of four raw images, then of the same four compressed
        >>> jsd(*both.chunk(2)).backward()
    """

    def __init__(self, weight: float = 12.0) -> None:
        super().__init__()
        self.weight = check_weight(weight)

    def forward(self, raw: Tensor, compressed: Tensor) -> Tensor:
        """Return the weighted divergence."""
        return self.weight * jensen_shannon(raw, compressed)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"weight={self.weight}"


class DistillationLoss(nn.Module):
    """Learn the predictions of a teacher that saw the raw images: weight * T^2 KL(teacher || f) at temperature T.

    Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. Give a compressed image the teacher's logits of
    the raw image. The teacher is a constant.

    Args:
        weight: a number >= 0.
        temperature: T > 0, which softens both predictions.

    Shape:
        teacher: logits of the teacher, float [B, classes].
        logits: logits of the trained network, float [B, classes].
        output: float32 [].

    Raises:
        ValueError: an argument is out of range, or the logits do not fit; see `kl_divergence`.

    Example:
        >>> distillation = DistillationLoss()
        >>> distillation(torch.randn(4, 10), torch.randn(4, 10, requires_grad=True)).backward()
    """

    def __init__(self, weight: float = 1.0, *, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature!r}; it is a number above 0.")
        self.weight, self.temperature = check_weight(weight), temperature

    def forward(self, teacher: Tensor, logits: Tensor) -> Tensor:
        """Return the weighted divergence."""
        return self.weight * kl_divergence(teacher.detach(), logits, temperature=self.temperature)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"weight={self.weight}, temperature={self.temperature}"


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return both logits, in float32 or wider. The errors are those of `kl_divergence`."""
    for logits in (first, second):
        if not isinstance(logits, Tensor):
            raise TypeError(f"logits are {type(logits).__name__}; they are a float tensor [B, classes].")
        if not logits.is_floating_point() or logits.ndim != 2:
            raise ValueError(f"logits are {logits.dtype} {list(logits.shape)}; they are a float tensor [B, classes].")
    if first.shape != second.shape:
        raise ValueError(
            f"one prediction has shape {list(first.shape)}, the other {list(second.shape)}; both need the same images "
            "and the same classes."
        )
    if first.device != second.device:
        raise ValueError(f"one prediction is on {first.device}, the other on {second.device}; move one of them.")
    wide = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return first.to(wide), second.to(wide)
