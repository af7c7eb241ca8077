"""The `train` section of params.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fct.core.params import Section

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]
Whose = Literal["shared", "own"]


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
    crops: Whose  # shared: one crop and flip for both views of an image | own: each view has its own
    cutout: int = Field(ge=0)  # pixels, height and width of a square that is blackened in each image; 0 for none
    label_smoothing: float = Field(ge=0, lt=1)  # share of a label's probability that is spread over all classes
    quality_sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, while training runs
    precision: Literal["auto", "fp32", "bf16"]
