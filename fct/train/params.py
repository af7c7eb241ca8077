"""The `train` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fct.core.params import Section

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]


class TrainParams(Section):
    """How long, how fast and in which arithmetic."""

    seed: int = Field(ge=0)
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)  # epochs without a better validation accuracy before training stops
    batch_size: int = Field(ge=2)  # images, each with all its views
    learning_rate: float = Field(gt=0)  # at the peak of the one-cycle schedule
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    crop_padding: int = Field(ge=0)  # pixels around an image before the random crop
    flip: bool  # horizontally, at random
    sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, while training runs
    precision: Literal["auto", "fp32", "bf16"]
