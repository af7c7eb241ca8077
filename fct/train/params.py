"""The `train` section of params.yaml."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fct.core.params import Name, Section, Seed, nearest

Views = Literal["auto", "cache", "online"]
Sampler = Literal["uniform", "low", "curriculum"]
Sharing = Literal["shared", "own"]
Policy = Literal["none", "rand-augment", "trivial-augment"]
OPTIMISERS = ("sgd", "adamw")
TIMM = "timm/"  # prefix of the name of one of timm's optimisers
MOST_EPOCHS = 100_000
SMALLEST_SHARE = 2  # images of a batch in one process: a batch norm or a variance needs two
NOT_ONLINE = (  # what is wrong with views: online for a folder of images
    "images of a folder are compressed at their own size, before the resize, which cannot be done online. Set it to "
    "cache."
)


def _check_optimiser(name: str) -> str:
    if name not in OPTIMISERS and not re.fullmatch(TIMM + "[a-z0-9_]+", name):
        raise ValueError(f"there is no such optimiser.{nearest(name, [*OPTIMISERS, TIMM + 'NAME'])}")
    return name


def _check_ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first bound must be the lower one; exchange the two bounds")
    return bounds


Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(ge=0.1, le=10)]


class ResizedCrop(Section):
    """Bounds between which a random crop is drawn, before it is scaled to the size of the model."""

    scale: Annotated[tuple[Share, Share], AfterValidator(_check_ascending)]  # share of the image's area
    ratio: Annotated[tuple[Ratio, Ratio], AfterValidator(_check_ascending)]  # of width to height


class TrainParams(Section):
    """The schedule, the augmentation and the precision of a training."""

    seed: Seed
    start: Literal["weights", "baseline"]  # model.weights, or random ones | those of the stage baseline
    epochs: int = Field(ge=1, le=MOST_EPOCHS)
    patience: int = Field(ge=1, le=MOST_EPOCHS)  # epochs without a better validation accuracy before training stops
    batch_size: int = Field(ge=2, le=2**20)  # images; each has all its views
    accumulate: int = Field(ge=1, le=2**20)  # batches per step of the optimiser
    balance: Literal["none", "classes"]  # each image once an epoch | each class equally often
    freeze: list[Name]  # patterns of names of the backbone's weights that are not trained
    optimiser: Annotated[str, AfterValidator(_check_optimiser)]  # sgd | adamw | timm/NAME
    learning_rate: float = Field(gt=0, le=1000)  # at the peak of the schedule
    rate_schedule: Literal["one-cycle", "cosine"]
    warm_up: float = Field(ge=0, lt=1)  # share of the steps in which the learning rate rises
    layer_decay: float = Field(ge=0.01, le=1)  # learning rate of each layer relative to the next one
    momentum: float = Field(ge=0, lt=1)  # of adamw, the first of its betas
    weight_decay: float = Field(ge=0, le=1000)  # biases and norms have none
    clip_norm: float | None = Field(ge=1e-6, le=1e6)  # largest norm of the gradient; None: no limit
    ema: float | None = Field(gt=0, lt=1)  # decay of an average of the weights, which is validated and saved
    crop_padding: int = Field(ge=0, le=4096)  # pixels around an image before the random crop
    resized_crop: ResizedCrop | None  # in place of that crop: one of random size and shape, scaled; None: none
    flip: bool  # horizontally, at random
    crops: Sharing  # shared: both views of an image have the same crop and flip | own: each view has its own
    cutout: int = Field(ge=0, le=4096)  # pixels, height and width of a square that is black in each image; 0: none
    colour_jitter: float = Field(ge=0, le=1)  # strength of random brightness, contrast and saturation; 0: none
    policy: Policy  # random operations on each image, of colour and of geometry
    erasing: float = Field(ge=0, le=1)  # probability that a random box of an image is black; 0: none
    mixup: float = Field(ge=0, le=100)  # alpha of the Beta distribution of the share of another image; 0: none
    cutmix: float = Field(ge=0, le=100)  # alpha likewise of the area of a square from another image; 0: none
    label_smoothing: float = Field(ge=0, lt=1)  # share of the label's probability that is spread over all classes
    quality_sampler: Sampler  # how often each trained quality is drawn: fct.train.sampler
    views: Views  # cache: compress, then crop | online: crop, then compress, during training
    precision: Literal["auto", "fp32", "bf16", "fp16"]  # fp16: on a GPU, with a scaled loss
    processes: int = Field(ge=1, le=4096)  # that train together; each has its share of every batch, and a GPU if any
    sync_batch_norm: bool  # on GPUs: batch norms see the images of all processes, not only of their own

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.processes > 1 and self.batch_size < SMALLEST_SHARE * self.processes:
            raise ValueError(
                f"batch_size is of all processes, and each needs at least {SMALLEST_SHARE} images: set batch_size to "
                f"{SMALLEST_SHARE * self.processes} or more (it is {self.batch_size}), or processes to fewer"
            )
        return self
