"""`jsd`: cross entropy on the raw view, and a term that keeps the predictions of both views close to their mean.

Hendrycks et al., "AugMix", ICLR 2020, equation 2. The JPEG view replaces two augmented views, so a step forwards as
many images as in other methods:

    CE(f(x), y) + weight * 1/2 [KL(f(x) || m) + KL(f(x~) || m)],    m = 1/2 [f(x) + f(x~)]

AugMix uses a weight of 12.
"""

from __future__ import annotations

from fct.losses.predictions import jensen_shannon
from fct.methods.batch import START, Batch, Context, Loss, forward_both, mean_cross_entropy
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of the raw images plus `params.weight` times the divergence of both predictions."""
    logits, _ = forward_both(network, batch, params)
    raw, compressed = logits.float().chunk(2)
    cross_entropy = mean_cross_entropy(raw, batch, context)
    divergence = jensen_shannon(raw, compressed)
    return Loss(cross_entropy + params.weight * divergence, {"cross_entropy": cross_entropy, "divergence": divergence})
