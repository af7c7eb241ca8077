"""The training method in words: its name, and the keys of params.yaml that it uses."""

from __future__ import annotations

from collections.abc import Sequence

from fct.methods.params import WITH_CONSISTENCY, MethodParams

MATCHED = {"compressed": "compressed views", "both": "both views", "one": "one view of each image"}
WITH_WEIGHT = WITH_CONSISTENCY | {"stability", "jsd", "distill"}


def describe(method: MethodParams, qualities: Sequence[int]) -> dict[str, str]:
    """Return the method and its settings by title, without those that it does not use.

    Args:
        method: the method of the training.
        qualities: JPEG qualities that it was trained on.
    """
    consistent = method.name in WITH_CONSISTENCY
    schedule = f", {method.schedule}" if consistent else ""
    hides = method.name == "fct-r" and method.hidden_quality > 0
    draws = method.name in {"augment", "finetune"} or (consistent and method.matched_views == "one")
    knobs: list[tuple[bool, str, str]] = [
        (True, "method", method.name),
        (method.name in WITH_WEIGHT, "weight of the consistency term", f"{method.weight:.3g}{schedule}"),
        (consistent and method.prediction_weight > 0, "weight of predictions", f"{method.prediction_weight:.3g}"),
        (consistent, "target", f"{method.target}, for {MATCHED[method.matched_views]}"),
        (method.uses_features, "layers", ", ".join(method.layers)),
        (consistent, "distance", method.distance),
        (consistent, "projection", method.projection),
        (method.needs_ema_teacher, "moving average", f"{method.ema_momentum:g} per step"),
        (method.needs_teacher_file, "teacher", method.teacher),
        (method.name == "distill", "learnt from the teacher", method.match),
        (draws, "images seen compressed", f"{100 * method.probability:g} %"),
        (method.name == "stability" and method.noise > 0, "noise instead of JPEG", f"{method.noise:g}"),
        (method.name == "fct-r", "features compared", f"{method.block.consistency} the block"),
        (hides, "qualities hidden in training", f"{100 * method.hidden_quality:g} %"),
        (method.views_per_image == 2, "batch normalisation", method.batch_norm),
        (method.name != "standard", "trained qualities", ", ".join(map(str, qualities))),
    ]
    return {title: text for is_used, title, text in knobs if is_used}
