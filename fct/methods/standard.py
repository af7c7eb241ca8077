"""`standard`: training on raw images only. It shows the effect of JPEG on a classifier that never saw it."""

from __future__ import annotations

from fct.methods.batch import START, Batch, Context, Loss, mean_cross_entropy
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, _params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of the raw images."""
    logits, _ = network(batch.raw, batch.raw_quality)
    total = mean_cross_entropy(logits, batch, context)
    return Loss(total, {"cross_entropy": total})
