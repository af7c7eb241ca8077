"""The needs of a classifier that was made elsewhere: how images become its input, and what its output means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fct.core.errors import FctError
from fct.core.params import Section, check, read
from fct.images.fit import Fit, Interpolation

Numbers = tuple[float, ...]  # one for all channels, or one each for red, green and blue
NORMALISATIONS: dict[str, tuple[Numbers, Numbers]] = {  # of pixels on the scale 0..1: mean, deviation
    "unit": ((0.0,), (1.0,)),  # 0..1
    "symmetric": ((0.5,), (0.5,)),  # -1..1
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((0.0,), (1 / 255,)),  # 0..255
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,)),  # 0..255 less the mean; goes with bgr
}

Size = Annotated[int, Field(ge=8, le=4096)]  # pixels
Scale = Literal["logits", "probabilities", "labels"]
FITS = ("shorter", "crop", "stretch")  # one of them at most


def parse_normalisation(text: str) -> tuple[Numbers, Numbers]:
    """Return mean and deviation from a name, or from numbers such as 0.5,0.5,0.5/0.2,0.2,0.2.

    Raises:
        ValueError: the text is neither a name nor such numbers.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        mean, deviation = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean, deviation = (), ()
    numbers = (*mean, *deviation)
    if {len(mean), len(deviation)} - {1, 3} or not (all(map(math.isfinite, numbers)) and min(deviation) > 0):
        raise ValueError(
            f"neither {', '.join(NORMALISATIONS)} nor mean/deviation of pixels on the scale 0..1, such as "
            "0.485,0.456,0.406/0.229,0.224,0.225"
        )
    if max(map(abs, mean)) > 1:
        raise ValueError("these numbers are for pixels on the scale 0..255. Divide all of them by 255")
    return mean, deviation


def _check_normalisation(text: str) -> str:
    parse_normalisation(text)
    return text


class Preprocessing(Section):
    """How the pixels of an image are prepared for a model, and what the model's output means.

    A key that is left out is derived from the model file, or has the value that most models need.

    size           height and width of the input in pixels, where the file leaves them open
    shorter        the shorter side is scaled to this many pixels, and the centre is cropped to `size`
    crop           the same as a ratio: the shorter side is scaled to floor(size / crop)
    stretch        both sides are scaled to `size`. Without any of the three, the centre square is scaled to `size`
    interpolation  nearest | box | bilinear | hamming | bicubic | lanczos
    layout         nchw | nhwc, where the shape of the input leaves it open
    channels       rgb | bgr
    normalise      a name of NORMALISATIONS, or mean/deviation of pixels on the scale 0..1: red, green, blue
    output         name of the output to judge, if there are several
    scale          of the output: logits | probabilities (also percents) | labels (the number of the predicted class)
    background     true: class 0 of the output is the background, not a class of the data
    """

    size: Size | None = None
    shorter: Size | None = None
    crop: Annotated[float, Field(gt=0, le=1)] | None = None
    stretch: bool | None = None
    interpolation: Interpolation | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    normalise: Annotated[str, AfterValidator(_check_normalisation)] | None = None
    output: str | None = None
    scale: Scale | None = None
    background: bool | None = None

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if len(given := [key for key in FITS if getattr(self, key)]) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one of them")
        return self

    def override(self, other: Preprocessing) -> Preprocessing:
        """Return the keys of `other`, and those of this one that `other` leaves out."""
        values = other.model_dump(exclude_none=True)
        own = self.model_dump(exclude_none=True)
        if any(values.get(key) for key in FITS):
            own = {key: value for key, value in own.items() if key not in FITS}
        return Preprocessing(**(own | values))

    def fit(self, size: int) -> Fit:
        """Return how an image becomes a square of `size` pixels.

        Raises:
            FctError: `shorter` is less than `size`.
        """
        shorter = math.floor(size / self.crop) if self.crop else self.shorter
        if shorter is not None and shorter < size:
            raise FctError(f"shorter: {shorter} pixels are fewer than the model's {size}. Nothing is left to crop.")
        return Fit(size, shorter, bool(self.stretch), self.interpolation or "bilinear")

    def describe(self) -> str:
        """Return one line about what `open_foreign_model` found: nchw rgb, imagenet, 256 -> 224 bilinear, logits."""
        whole = "stretched" if self.stretch else self.shorter or "centre square"
        output = f"{self.scale} of {self.output}" if self.output else str(self.scale)
        return ", ".join(
            [
                f"{self.layout} {self.channels or 'grey'}",
                self.normalise or "bytes as they are",
                f"{whole} -> {self.size} {self.interpolation}",
                output + (" without class 0, the background" if self.background else ""),
            ]
        )


PRESETS = {
    # torchvision.transforms._presets.ImageClassification: 256, then 224. Some weights have other numbers.
    "torchvision": Preprocessing(crop=0.875, interpolation="bilinear", normalise="imagenet"),
    # timm.data.constants: DEFAULT_CROP_PCT and IMAGENET_DEFAULT_MEAN. A model's own are in its pretrained_cfg.
    "timm": Preprocessing(crop=0.875, interpolation="bicubic", normalise="imagenet"),
    # keras.applications.imagenet_utils.preprocess_input, mode "tf", of images loaded at their target size
    "keras": Preprocessing(stretch=True, interpolation="bilinear", layout="nhwc", normalise="symmetric"),
    # its mode "caffe": VGG, ResNet
    "keras-caffe": Preprocessing(
        stretch=True, interpolation="bilinear", layout="nhwc", channels="bgr", normalise="caffe"
    ),
    # tensorflow/tpu, models/official/efficientnet: (x - 127) / 128, and CROP_PADDING = 32 beside 224
    "efficientnet-lite": Preprocessing(
        crop=0.875, interpolation="bicubic", normalise=f"{127 / 255:.6f}/{128 / 255:.6f}"
    ),
    # transformers.ViTImageProcessor
    "huggingface-vit": Preprocessing(stretch=True, interpolation="bilinear", normalise="symmetric"),
}


def read_preset(name: str) -> Preprocessing:
    """Return the preset of that name, or read a YAML file that has keys of `Preprocessing`.

    Raises:
        FctError: there is no such preset or file, or the file has an unknown key or an impossible value.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not Path(name).is_file():
        raise FctError(f"--preset {name}: there is no such preset or file. Presets: {', '.join(PRESETS)}.")
    return read(Preprocessing, Path(name))


def read_options(preset: str | None, options: Mapping[str, Any], assignments: tuple[str, ...]) -> Preprocessing:
    """Return what the command line says.

    Args:
        preset: name of a preset, or path of a file with one.
        options: keys that have options of their own, and their values; None where the option is not given.
        assignments: KEY=VALUE. These and `options` override the preset.

    Raises:
        FctError: a key is unknown or given twice, or a value is impossible.
    """
    values = {key: value for key, value in options.items() if value is not None}
    for assignment in assignments:
        key, sign, value = assignment.partition("=")
        if not sign:
            raise FctError(f"--set {assignment}: write KEY=VALUE, such as channels=bgr.")
        if key in values:
            raise FctError(f"--set {assignment}: {key} is given twice. Give it once.")
        values[key] = value
    own = check(Preprocessing, values, "command line")
    return read_preset(preset).override(own) if preset else own
