"""The `method` section of params.yaml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fct.core.params import Name, Section
from fct.models.params import BlockParams, LayerNames

Distance = Literal["mse", "centred-mse", "cosine"]
Target = Literal["raw", "raw-detached", "teacher", "ema-teacher"]
Schedule = Literal["constant", "rising", "falling"]
Projection = Literal["none", "mean", "linear"]
WITH_CONSISTENCY = frozenset({"fct", "fct-r"})  # methods with a consistency term on features; the search can tune them
WITH_ONE_VIEW = frozenset({"standard", "augment", "finetune"})


class MethodParams(Section):
    """How the loss is computed from raw and compressed views. Keys that a method does not use are only checked."""

    name: Literal["standard", "augment", "finetune", "pair", "stability", "jsd", "distill", "fct", "fct-r"]
    probability: float = Field(ge=0, le=1)
    noise: float = Field(ge=0, le=1)
    teacher: Name
    match: Literal["logits", "features"]
    weight: float = Field(ge=0, le=1e6)
    prediction_weight: float = Field(ge=0, le=1e6)
    schedule: Schedule
    layers: LayerNames
    distance: Distance
    target: Target
    matched_views: Literal["compressed", "both", "one"]
    ema_momentum: float = Field(ge=0, lt=1)
    projection: Projection
    batch_norm: Literal["shared", "per-view"]
    block: BlockParams
    hidden_quality: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _check_matched_views(self) -> Self:
        if self.name not in WITH_CONSISTENCY or self.matched_views == "compressed":
            return self
        if not (self.needs_teacher_file or self.needs_ema_teacher):
            raise ValueError(
                f"matched_views: {self.matched_views} needs a teacher as the target; set target to teacher or "
                f"ema-teacher (it is {self.target}), or matched_views to compressed"
            )
        if self.matched_views == "one" and self.prediction_weight:
            raise ValueError(
                f"prediction_weight is {self.prediction_weight:g}, but with matched_views: one there is one prediction "
                "of each image; set it to 0"
            )
        return self

    @property
    def views_per_image(self) -> int:
        """Views of each image of a batch that the network sees: raw and compressed, or one of them."""
        if self.name in WITH_CONSISTENCY:
            return 1 if self.matched_views == "one" else 2
        return 1 if self.name in WITH_ONE_VIEW else 2

    @property
    def uses_features(self) -> bool:
        """Whether the loss depends on features of `layers`."""
        return self.name in WITH_CONSISTENCY or (self.name == "distill" and self.match == "features")

    @property
    def needs_teacher_file(self) -> bool:
        """Whether the method needs a frozen teacher from a file."""
        return self.name == "distill" or (self.name in WITH_CONSISTENCY and self.target == "teacher")

    @property
    def needs_ema_teacher(self) -> bool:
        """Whether the teacher is a moving average of the network."""
        return self.name in WITH_CONSISTENCY and self.target == "ema-teacher"

    @property
    def needs_projections(self) -> bool:
        """Whether the method trains linear projections of features."""
        return self.name in WITH_CONSISTENCY and self.projection == "linear"


STANDARD = MethodParams.model_construct(name="standard", layers=[])  # type: ignore[call-arg]  # it needs no other value
