"""`fct` and `fct-r`: feature consistency training, without and with residual mapping blocks.

Wan et al., IEEE TCSVT 30(12), 2020, train on pairs of raw and compressed images, with a constraint that makes their
internal features similar. The exact form is this project's reconstruction from the abstract:

    1/2 [CE(f(x), y) + CE(f(x~), y)] + lambda * s(t) * mean_l D(P_l(R_l(phi_l(x~), q)), P_l(target_l))
                                     + mu * JS(f(x), f(x~))

R_l is the identity in `fct`, and the block of `fct.nn.residual` in `fct-r`. The target is the feature of the raw image,
R_l(phi_l(x), q_raw), with or without gradient, or a teacher's feature. With a teacher, the raw image's features can be
matched, too. Or the network sees one view of each image, as in `augment`, and the loss is

    CE(f(x'), y) + lambda * s(t) * mean_l D(P_l(R_l(phi_l(x'), q')), P_l(target_l)),    x' = x~ or x

P_l is a projection, and s(t) the schedule of the weight over the training. JS is the Jensen-Shannon divergence, with
mu = `params.prediction_weight`. It is an addition to the paper, as are one view and `params.hidden_quality`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fct.images.tables import UNKNOWN_QUALITY
from fct.losses.consistency import feature_consistency
from fct.losses.predictions import jensen_shannon
from fct.methods.batch import (
    START,
    Batch,
    Context,
    Loss,
    forward_both,
    mean_cross_entropy,
    one_view,
    teacher_outputs,
)
from fct.methods.params import MethodParams, Schedule
from fct.models.network import Network
from fct.nn.layout import layer_key

Features = dict[str, Tensor]  # by layer
Passed = tuple[Tensor, Features, Features]  # logits, targets, and the features that are compared with them


def loss(network: Network, batch: Batch, params: MethodParams, context: Context = START) -> Loss:
    """Return the cross entropy of the views plus `params.weight` times the consistency of their features.

    Raises:
        ValueError: the context does not have the teacher or the projections that `params` need.
    """
    passed = _pass_one if params.matched_views == "one" else _pass_both
    logits, targets, compared = passed(network, batch, params, context)
    cross_entropy = mean_cross_entropy(logits, batch, context)
    if params.projection == "mean":
        targets, compared = ({layer: _mean(feature) for layer, feature in side.items()} for side in (targets, compared))
    elif params.projection == "linear":
        if context.projections is None:
            raise ValueError("a linear projection needs context.projections")
        compared = {layer: context.projections[layer_key(layer)](feature) for layer, feature in compared.items()}
    consistency = feature_consistency(
        targets,
        compared,
        distance=params.distance,
        detach_target=params.target != "raw",
        group=context.share.group if context.share is not None else None,
    )
    weight = params.weight * schedule_weight(params.schedule, context.progress)
    total, parts = cross_entropy + weight * consistency, {"cross_entropy": cross_entropy, "consistency": consistency}
    if params.prediction_weight:
        parts["divergence"] = jensen_shannon(*logits.chunk(2))
        total = total + params.prediction_weight * parts["divergence"]
    return Loss(total, parts)


def hide_qualities(batch: Batch, probability: float, context: Context = START) -> Batch:
    """Make the quality of each view unknown with `probability`, so that blocks are not all that removes artefacts.

    In training, blocks change nothing at an unknown quality. The layers around them must then do without.
    """
    size = batch.labels.shape

    def hide(quality: Tensor) -> Tensor:
        return quality.masked_fill(context.draw(torch.rand, size, quality.device) < probability, UNKNOWN_QUALITY)

    return replace(batch, raw_quality=hide(batch.raw_quality), quality=hide(batch.quality))


def schedule_weight(schedule: Schedule, progress: float) -> float:
    """Return s(t), 0..1: the share of the weight at `progress` of the training."""
    return {"constant": 1.0, "rising": progress, "falling": 1 - progress}[schedule]


def _pass_both(network: Network, batch: Batch, params: MethodParams, context: Context) -> Passed:
    """Pass both views: logits [2 B, classes] and features [B, ...], or [2 B, ...] if those of both are matched."""
    logits, features = forward_both(network, _shown(batch, params, context), params)
    raw, compressed = ({layer: features[layer][view] for layer in params.layers} for view in (0, 1))
    if params.target in ("raw", "raw-detached"):
        return logits, raw, compressed
    both = params.matched_views == "both"
    compared = {layer: torch.cat(features[layer]) for layer in params.layers} if both else compressed
    return logits, _told(batch, params, context, both=both), compared


def _pass_one(network: Network, batch: Batch, params: MethodParams, context: Context) -> Passed:
    """Pass one view of each image: logits [B, classes] and features [B, ...]."""
    logits, features = network(*one_view(_shown(batch, params, context), params.probability, context))
    return logits, _told(batch, params, context, both=False), {layer: features[layer] for layer in params.layers}


def _shown(batch: Batch, params: MethodParams, context: Context) -> Batch:
    """Return what the network is shown; its teacher gets the batch as it is."""
    hides = params.name == "fct-r" and params.hidden_quality
    return hide_qualities(batch, params.hidden_quality, context) if hides else batch


def _told(batch: Batch, params: MethodParams, context: Context, *, both: bool) -> Features:
    """Return the teacher's features of the raw images."""
    if context.teacher is None:
        raise ValueError(f"{params.target} needs a teacher")
    outputs = [features for _, features in teacher_outputs(context.teacher, batch, both=both)]
    return {layer: torch.cat([output[layer] for output in outputs]) for layer in params.layers}


def _mean(feature: Tensor) -> Tensor:
    """Return the mean over positions, [B, C]."""
    return feature.flatten(2).mean(2) if feature.ndim > 2 else feature
