"""`distill`: both views learn from what a frozen network, trained on raw images, makes of the raw one.

    1/2 [CE(f(x), y) + CE(f(x~), y)] + weight * D

with, by `params.match`, one of

    logits:   D = 1/2 T^2 [KL(t(x) || f(x)) + KL(t(x) || f(x~))], predictions at temperature T
    features: D = 1 - cos(phi_l(x~), phi_l of t(x)) at the last of `params.layers`

"logits" is Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, used against JPEG by Marie et al. 2022
(known to us by abstract); "features" is the line of Endo and of Daultani.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from fct.methods.batch import START, Batch, Context, Loss, entropy, forward_both
from fct.methods.distance import distance
from fct.methods.params import MethodParams
from fct.models.network import Network

VIEWS = 2
TEMPERATURE = 4.0  # Hinton et al.'s for softened predictions


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of both views plus `params.weight` times their distance to the teacher.

    Raises:
        ValueError: there is no teacher.
    """
    if context.teacher is None:
        raise ValueError("distill needs a teacher")
    logits, features = forward_both(network, batch, params)
    cross_entropy = entropy(logits, batch.labels, context)
    with torch.no_grad():
        taught, shown = context.teacher(batch.reference, batch.raw_quality)
    if params.match == "logits":
        gap = divergence(logits.float(), torch.cat([_of_raw(context.teacher, batch, taught), taught]).float())
    else:
        last = params.layers[-1]
        gap = distance(features[last][1], shown[last], "cosine")
    return Loss(cross_entropy + params.weight * gap, {"cross_entropy": cross_entropy, "distillation": gap})


def _of_raw(teacher: nn.Module, batch: Batch, taught: Tensor) -> Tensor:
    """Return the teacher's logits of the raw view; `taught`, those of the reference, where that is the same."""
    if batch.reference is batch.raw:
        return taught
    with torch.no_grad():
        logits: Tensor = teacher(batch.raw, batch.raw_quality)[0]
    return logits


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return T^2 KL(teacher || student), a scalar, of logits [B, classes] at temperature T."""
    soft = log_softmax(student / TEMPERATURE, 1), log_softmax(teacher / TEMPERATURE, 1)
    return TEMPERATURE**2 * kl_div(*soft, reduction="batchmean", log_target=True)
