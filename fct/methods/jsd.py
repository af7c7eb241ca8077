"""`jsd`: cross entropy on the raw view alone, and predictions of both views that lie close to their mean.

Hendrycks et al., "AugMix", ICLR 2020, equation 2, with the JPEG view in the place of two augmented ones, so that a step
forwards as many images as those of the other methods:

    CE(f(x), y) + weight * 1/2 [KL(f(x) || m) + KL(f(x~) || m)],    m = 1/2 [f(x) + f(x~)]

AugMix's own weight is 12.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import kl_div, log_softmax

from fct.methods.batch import START, Batch, Context, Loss, entropy, forward_both
from fct.methods.params import MethodParams
from fct.models.network import Network

VIEWS = 2


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of the raw images plus `params.weight` times the divergence of both predictions."""
    logits, _ = forward_both(network, batch, params)
    raw, compressed = logits.float().chunk(2)
    cross_entropy = entropy(raw, batch.labels, context)
    both = torch.stack([log_softmax(raw, 1), log_softmax(compressed, 1)])  # [2, B, classes]
    mean = both.logsumexp(0) - math.log(2)
    divergence = kl_div(mean.expand_as(both), both, reduction="sum", log_target=True) / (2 * len(batch.labels))
    return Loss(cross_entropy + params.weight * divergence, {"cross_entropy": cross_entropy, "divergence": divergence})
