"""`standard`: raw images only. What JPEG does to a classifier that never met it."""

from __future__ import annotations

from torch.nn.functional import cross_entropy

from fct.methods.batch import START, Batch, Context, Loss
from fct.methods.params import MethodParams
from fct.models.network import Network

VIEWS = 1  # images forwarded for each image of a batch


def loss(network: Network, batch: Batch, _params: MethodParams, _context: Context = START) -> Loss:
    """Return the cross entropy of the raw images."""
    logits, _ = network(batch.raw, batch.raw_quality)
    total = cross_entropy(logits.float(), batch.labels)
    return Loss(total, {"cross_entropy": total})
