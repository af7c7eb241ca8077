"""How far predictions lie apart: divergences of logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def kl_divergence(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(target || logits), a scalar, of float logits [B, classes] at temperature T."""
    soft, soft_target = log_softmax(logits / temperature, 1), log_softmax(target / temperature, 1)
    return temperature**2 * kl_div(soft, soft_target, reduction="batchmean", log_target=True)


def jensen_shannon(one: Tensor, other: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of the predictions of two float logits [B, classes], a scalar.

    1/2 [KL(f || m) + KL(g || m)],    m = 1/2 [f + g]
    """
    both = torch.stack([log_softmax(one, 1), log_softmax(other, 1)])  # [2, B, classes]
    mean = both.logsumexp(0) - math.log(2)
    return kl_div(mean.expand_as(both), both, reduction="sum", log_target=True) / (2 * len(one))
