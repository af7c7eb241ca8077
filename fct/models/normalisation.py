"""The images that pretrained weights were trained with: their mean and deviation, size and interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fct.core.errors import FctError
from fct.core.params import location
from fct.models.backbones import OWN, TIMM, refuse_unknown, timm_config
from fct.models.params import Channels, ModelParams
from fct.models.state import load_weights_only
from fct.models.weights import find_weights

INTERPOLATION = "bilinear"  # of this project's images (fct.images.fit)


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of the images, on the scale 0..1."""

    mean: list[float]
    std: list[float]


def normalisation(model: ModelParams, channels: int) -> Statistics | None:
    """Return the normalisation that `model.normalisation` chooses, or None for that of the training images.

    With "auto", it is the one that the weights were trained with: from timm's configuration, torchvision's entry of the
    model, or a model.pt of this project itself. For grey images it is the mean of the values of three channels.

    Args:
        model: the section `model` of params.yaml.
        channels: the number of channels of the images.

    Raises:
        FctError: the section gives values for another number of channels, or names no model.
    """
    if isinstance(model.normalisation, Channels):
        if len(model.normalisation.mean) != channels:
            raise FctError(
                f"{location('model.normalisation')}: it has {len(model.normalisation.mean)} values of mean and std; "
                f"the images have {channels} channels. Give one value for each."
            )
        return Statistics(model.normalisation.mean, model.normalisation.std)
    if model.normalisation == "images" or model.weights is None:
        return None
    pretraining = _of_weights(model, model.weights)
    if pretraining is None:
        return None
    return Statistics(_for_channels(pretraining.mean, channels), _for_channels(pretraining.std, channels))


class Pretraining(NamedTuple):
    """The images that weights were trained with."""

    mean: Sequence[float]
    std: Sequence[float]
    size: int  # pixels, height and width
    interpolation: str  # with which they were scaled to that size


def describe_other_images(model: ModelParams, size: int) -> str | None:
    """Return a sentence if the weights were trained on images of another size or interpolation than the images here.

    Args:
        model: the section `model` of params.yaml, which names weights.
        size: the height and width of the images, in pixels.
    """
    pretraining = None if model.weights is None else _of_weights(model, model.weights)
    if pretraining is None or (pretraining.size, pretraining.interpolation) == (size, INTERPOLATION):
        return None
    return (
        f"{model.weights} was trained with images of {pretraining.size} pixels, scaled with "
        f"{pretraining.interpolation} interpolation; the images here have {size} pixels, scaled with {INTERPOLATION} "
        "interpolation."
    )


def trained_size(model: ModelParams) -> int | None:
    """Return the size in pixels of the images that the weights were trained with, or None if nothing says so."""
    pretraining = None if model.weights is None else _of_weights(model, model.weights)
    return None if pretraining is None else pretraining.size


def _of_weights(model: ModelParams, weights: str) -> Pretraining | None:
    """Return the images that the weights were trained with, or None if nothing says so."""
    path = find_weights(weights, "model.weights")
    if path.suffix != ".safetensors":
        try:
            content = load_weights_only(path)
        except ValueError:
            return None  # `load_pretrained` says what is wrong with the file
        if isinstance(content, dict) and "description" in content and "state" in content:
            from fct.models.saved import load

            _, description = load(path, remedy="Name another file.")
            return Pretraining(description.mean, description.std, description.size, INTERPOLATION)
    if model.name.startswith(TIMM):
        config = timm_config(model.name)
        if config is None:
            return None
        return Pretraining(config.mean, config.std, config.input_size[-1], config.interpolation)
    if model.name in OWN:
        return None
    from torchvision import models

    refuse_unknown(model.name)
    preset = models.get_model_weights(model.name).DEFAULT.transforms()
    return Pretraining(preset.mean, preset.std, preset.crop_size[0], preset.interpolation.value)


def _for_channels(values: Sequence[float], channels: int) -> list[float]:
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * channels
