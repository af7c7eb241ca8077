"""`stability`: cross entropy on the raw view alone, and a prediction that stays the same on the compressed one.

Zheng et al., "Improving the Robustness of Deep Neural Networks via Stability Training", CVPR 2016, equation 3, with the
divergence for their cross entropy, which differs by the entropy of the raw prediction:

    CE(f(x), y) + weight * KL(f(x) || f(x~))
"""

from __future__ import annotations

from torch.nn.functional import cross_entropy, kl_div, log_softmax

from fct.methods.batch import Batch, Loss, forward_both
from fct.methods.params import MethodParams
from fct.models.network import Network

VIEWS = 2


def loss(network: Network, batch: Batch, params: MethodParams) -> Loss:
    """Return the cross entropy of the raw images plus `params.weight` times the divergence of their predictions."""
    raw, compressed = forward_both(network, batch)[0].float().chunk(2)
    entropy = cross_entropy(raw, batch.labels)
    stability = kl_div(log_softmax(compressed, 1), log_softmax(raw, 1), reduction="batchmean", log_target=True)
    return Loss(entropy + params.weight * stability, {"cross_entropy": entropy, "stability": stability})
