"""`distill`: both views learn from the predictions or features of a frozen network that was trained on raw images.

    1/2 [CE(f(x), y) + CE(f(x~), y)] + weight * D

D depends on `params.match`:

    logits:   D = 1/2 T^2 [KL(t(x) || f(x)) + KL(t(x) || f(x~))], predictions at temperature T
    features: D = 1 - cos(phi_l(x~), phi_l of t(x)) at the last of `params.layers`

"logits" is Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. Marie et al. 2022 use it against JPEG
(known to us by abstract). "features" follows Endo and Daultani.
"""

from __future__ import annotations

import torch

from fct.losses.distance import feature_distance
from fct.losses.predictions import TEMPERATURE, kl_divergence
from fct.methods.batch import START, Batch, Context, Loss, forward_both, mean_cross_entropy, teacher_outputs
from fct.methods.params import MethodParams
from fct.models.network import Network


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of both views plus `params.weight` times their distance to the teacher.

    Raises:
        ValueError: there is no teacher.
    """
    if context.teacher is None:
        raise ValueError("distill needs a teacher")
    logits, features = forward_both(network, batch, params)
    cross_entropy = mean_cross_entropy(logits, batch, context)
    outputs = teacher_outputs(context.teacher, batch, both=params.match == "logits")
    if params.match == "logits":
        teacher_logits = torch.cat([teacher_logits for teacher_logits, _ in outputs])
        gap = kl_divergence(teacher_logits, logits, temperature=TEMPERATURE)
    else:
        last = params.layers[-1]
        gap = feature_distance(outputs[-1][1][last], features[last][1], "cosine")
    return Loss(cross_entropy + params.weight * gap, {"cross_entropy": cross_entropy, "distillation": gap})
