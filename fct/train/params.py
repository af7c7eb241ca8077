"""The `train` section of params.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fct.core.params import Name, Section, Seed, nearest

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]
Sharing = Literal["shared", "own"]
OPTIMISERS = ("sgd", "adamw")
TIMM = "timm/"  # prefix of the name of one of timm's optimisers
MOST_EPOCHS = 100_000


def _check_optimiser(name: str) -> str:
    if name not in OPTIMISERS and not re.fullmatch(TIMM + "[a-z0-9_]+", name):
        raise ValueError(f"there is no such optimiser.{nearest(name, [*OPTIMISERS, TIMM + 'NAME'])}")
    return name


class TrainParams(Section):
    """The schedule, the augmentation and the precision of a training."""

    seed: Seed
    start: Literal["weights", "baseline"]  # model.weights, or random ones | those of the stage baseline
    epochs: int = Field(ge=1, le=MOST_EPOCHS)
    patience: int = Field(ge=1, le=MOST_EPOCHS)  # epochs without a better validation accuracy before training stops
    batch_size: int = Field(ge=2, le=2**20)  # images; each has all its views
    accumulate: int = Field(ge=1, le=2**20)  # batches whose gradients make one step of the optimiser
    balance: Literal["none", "classes"]  # each image once an epoch | each class equally often
    freeze: list[Name]  # patterns of names of the backbone's weights that are not trained
    optimiser: Annotated[str, AfterValidator(_check_optimiser)]  # sgd | adamw | timm/NAME
    learning_rate: float = Field(gt=0, le=1000)  # at the peak of the schedule
    rate_schedule: Literal["one-cycle", "cosine"]
    warm_up: float = Field(ge=0, lt=1)  # share of the steps in which the learning rate rises
    layer_decay: float = Field(ge=0.01, le=1)  # factor of the learning rate from a layer to the one before it
    momentum: float = Field(ge=0, lt=1)  # of adamw, the first of its betas
    weight_decay: float = Field(ge=0, le=1000)  # not of biases and norms
    clip_norm: float | None = Field(ge=1e-6, le=1e6)  # largest norm of the gradient; None: any
    ema: float | None = Field(gt=0, lt=1)  # of the weights, a step; the average is validated and saved; None: none
    crop_padding: int = Field(ge=0, le=4096)  # pixels around an image before the random crop
    flip: bool  # horizontally, at random
    crops: Sharing  # shared: both views of an image have the same crop and flip | own: each view has its own
    cutout: int = Field(ge=0, le=4096)  # pixels, height and width of a square that is black in each image; 0: none
    label_smoothing: float = Field(ge=0, lt=1)  # share of the label's probability that is spread over all classes
    quality_sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, during training
    precision: Literal["auto", "fp32", "bf16"]
