"""`pair`: cross entropy on both views, in one forward pass. It is `fct` without the consistency term, its control."""

from __future__ import annotations

from fct.methods.batch import START, Batch, Context, Loss, forward_both, mean_cross_entropy
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return 1/2 [CE(f(x), y) + CE(f(x~), y)]."""
    logits, _ = forward_both(network, batch, params)
    total = mean_cross_entropy(logits, batch, context)
    return Loss(total, {"cross_entropy": total})
