"""`stability`: cross entropy on the raw view, and a term that keeps the prediction the same on the compressed view.

Zheng et al., "Improving the Robustness of Deep Neural Networks via Stability Training", CVPR 2016, equation 3. Their
cross entropy is replaced by the divergence, which differs by the entropy of the raw prediction:

    CE(f(x), y) + weight * KL(f(x) || f(x~))

The paper's perturbation is x~ = x + Gaussian noise. It is used if `params.noise`, its standard deviation on the scale
0..1, is not 0. Otherwise x~ is the compressed view.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fct.losses.predictions import kl_divergence
from fct.methods.batch import START, Batch, Context, Loss, forward_both, mean_cross_entropy
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of the raw images plus `params.weight` times the divergence of their predictions."""
    if params.noise:
        batch = replace(batch, compressed=add_noise(batch.raw, params.noise, context), quality=batch.raw_quality)
    raw, compressed = forward_both(network, batch, params)[0].float().chunk(2)
    cross_entropy = mean_cross_entropy(raw, batch, context)
    stability = kl_divergence(raw, compressed)
    return Loss(cross_entropy + params.weight * stability, {"cross_entropy": cross_entropy, "stability": stability})


def add_noise(image: Tensor, deviation: float, context: Context = START) -> Tensor:
    """Return uint8 images with Gaussian noise of standard deviation `deviation`, on the scale 0..1."""
    noise = context.draw(torch.randn, image.shape, image.device) * (255 * deviation)
    return (image + noise).round().clamp(0, 255).to(torch.uint8)
