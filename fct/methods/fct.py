"""`fct` and `fct-r`: feature consistency training, without and with residual mapping blocks.

Wan et al., IEEE TCSVT 30(12), 2020: raw and compressed image together, and a constraint that pulls their internal
features together. The exact form is this project's reconstruction from the abstract:

    1/2 [CE(f(x), y) + CE(f(x~), y)] + lambda * mean_l D(R_l(phi_l(x~), q), R_l(phi_l(x), q_raw))

where R_l is the identity in `fct`, and in `fct-r` the block of `fct.models.residual`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss

from fct.methods.batch import Batch, Loss, forward_both
from fct.methods.params import Distance, MethodParams
from fct.models.network import Network

VIEWS = 2
TINY = 1e-6  # keeps the centred distance finite where a feature is constant


def loss(network: Network, batch: Batch, params: MethodParams) -> Loss:
    """Return the cross entropy of both views plus `params.weight` times the consistency of their features."""
    logits, features = forward_both(network, batch)
    entropy = cross_entropy(logits.float(), batch.labels.repeat(2))
    detached = params.gradient == "raw-detached"
    distances = [
        distance(compressed, raw.detach() if detached else raw, params.distance)
        for raw, compressed in features.values()
    ]
    consistency = torch.stack(distances).mean()
    return Loss(entropy + params.weight * consistency, {"cross_entropy": entropy, "consistency": consistency})


def distance(compressed: Tensor, raw: Tensor, kind: Distance) -> Tensor:
    """Return D(compressed, raw) >= 0, a scalar, for features of shape [B, C, ...].

    - "mse": the mean squared difference.
    - "centred-mse": the same over the raw feature's variance around each channel's mean. A network cannot lower it by
      shrinking its features, nor by adding a constant to them.
    - "cosine": 1 - cos of the angle between an image's two feature vectors, averaged over images.
    """
    compressed, raw = compressed.float(), raw.float()
    if kind == "cosine":
        return 1 - cosine_similarity(compressed.flatten(1), raw.flatten(1)).mean()
    difference = mse_loss(compressed, raw)
    if kind == "mse":
        return difference
    channel_mean = raw.mean(dim=[axis for axis in range(raw.ndim) if axis != 1], keepdim=True)
    return difference / ((raw - channel_mean).square().mean() + TINY)
