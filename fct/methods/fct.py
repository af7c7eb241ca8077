"""`fct` and `fct-r`: feature consistency training, without and with residual mapping blocks.

Wan et al., IEEE TCSVT 30(12), 2020, train on pairs of raw and compressed images, with a constraint that makes their
internal features similar. The exact form is this project's reconstruction from the abstract:

    1/2 [CE(f(x), y) + CE(f(x~), y)] + lambda * s(t) * mean_l D(P_l(R_l(phi_l(x~), q)), P_l(target_l))

R_l is the identity in `fct`, and the block of `fct.nn.residual` in `fct-r`. The target is the feature of the raw image,
R_l(phi_l(x), q_raw), with or without gradient, or a teacher's feature. With a teacher, the raw image's features can be
matched, too. P_l is a projection, and s(t) the schedule of the weight over the training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fct.losses.distance import distance
from fct.methods.batch import START, Batch, Context, Halves, Loss, forward_both, mean_cross_entropy, teacher_outputs
from fct.methods.params import MethodParams, Schedule
from fct.models.network import Network
from fct.nn.layout import layer_key

VIEWS = 2


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of both views plus `params.weight` times the consistency of their features.

    Raises:
        ValueError: the context does not have the teacher or the projections that `params` need.
    """
    logits, features = forward_both(network, batch, params)
    cross_entropy = mean_cross_entropy(logits, batch.labels, context)
    distances = []
    for layer, (feature, target) in _pairs(features, batch, params, context).items():
        if params.projection == "mean":
            feature, target = _mean(feature), _mean(target)  # noqa: PLW2901
        elif params.projection == "linear":
            if context.projections is None:
                raise ValueError("a linear projection needs context.projections")
            feature = context.projections[layer_key(layer)](feature)  # noqa: PLW2901
        distances.append(distance(feature, target, params.distance))
    consistency = torch.stack(distances).mean()
    weight = params.weight * schedule_weight(params.schedule, context.progress)
    return Loss(cross_entropy + weight * consistency, {"cross_entropy": cross_entropy, "consistency": consistency})


def schedule_weight(schedule: Schedule, progress: float) -> float:
    """Return s(t), 0..1: the share of the weight at `progress` of the training."""
    return {"constant": 1.0, "rising": progress, "falling": 1 - progress}[schedule]


def _pairs(features: Halves, batch: Batch, params: MethodParams, context: Context) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the feature and its target for each layer: [B, ...], or [2 B, ...] for both views."""
    if params.target in ("raw", "raw-detached"):
        detached = params.target == "raw-detached"
        halves = {layer: features[layer] for layer in params.layers}
        return {layer: (compressed, raw.detach() if detached else raw) for layer, (raw, compressed) in halves.items()}
    if context.teacher is None:
        raise ValueError(f"{params.target} needs a teacher")
    both = params.matched_views == "both"
    teacher_features = [targets for _, targets in teacher_outputs(context.teacher, batch, both=both)]
    return {
        layer: (
            torch.cat(features[layer]) if both else features[layer][1],
            torch.cat([targets[layer] for targets in teacher_features]),
        )
        for layer in params.layers
    }


def _mean(feature: Tensor) -> Tensor:
    """Return the mean over positions, [B, C]."""
    return feature.flatten(2).mean(2) if feature.ndim > 2 else feature
