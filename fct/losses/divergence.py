"""Divergences between predictions, computed from logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def kl_divergence(logits: Tensor, target: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(target || logits), a scalar, of float logits [B, classes] at temperature T."""
    soft, soft_target = log_softmax(logits / temperature, 1), log_softmax(target / temperature, 1)
    return temperature**2 * kl_div(soft, soft_target, reduction="batchmean", log_target=True)


def jensen_shannon(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of two predictions, a scalar, from float logits [B, classes].

    1/2 [KL(f || m) + KL(g || m)],    m = 1/2 [f + g]
    """
    log_probabilities = torch.stack([log_softmax(logits, 1), log_softmax(other_logits, 1)])  # [2, B, classes]
    mean = log_probabilities.logsumexp(0) - math.log(2)
    divergence = kl_div(mean.expand_as(log_probabilities), log_probabilities, reduction="sum", log_target=True)
    return divergence / (2 * len(logits))
