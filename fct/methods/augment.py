"""`augment`: compression as data augmentation. Each image is a sample, either raw or compressed."""

from __future__ import annotations

from fct.methods.batch import START, Batch, Context, Loss, mean_cross_entropy, one_view
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of images, each of which is compressed with probability `params.probability`."""
    logits, _ = network(*one_view(batch, params.probability, context))
    total = mean_cross_entropy(logits, batch, context)
    return Loss(total, {"cross_entropy": total})
