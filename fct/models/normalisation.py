"""Mean and deviation with which images are normalised: those that pretrained weights were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fct.core.errors import FctError
from fct.models.backbones import OWN, TIMM
from fct.models.params import Channels, ModelParams
from fct.models.state import load_weights_only
from fct.models.weights import find_weights


class Statistics(NamedTuple):
    """Mean and standard deviation of each channel of the images, on the scale 0..1."""

    mean: list[float]
    std: list[float]


def normalisation(model: ModelParams, channels: int) -> Statistics | None:
    """Return the normalisation that `model.normalisation` says, or None for that of the training images.

    With "auto", weights are used as they were trained: timm's configuration or torchvision's entry of the model says
    how, and a model.pt of this project says it itself. One channel gets the mean of the values of three.

    Args:
        model: the section `model` of params.yaml.
        channels: of the images.

    Raises:
        FctError: the section gives values for another number of channels.
    """
    if isinstance(model.normalisation, Channels):
        if len(model.normalisation.mean) != channels:
            raise FctError(
                f"params.yaml: model.normalisation: it has {len(model.normalisation.mean)} values of mean and std; the "
                f"images have {channels} channels. Give one value for each."
            )
        return Statistics(model.normalisation.mean, model.normalisation.std)
    if model.normalisation == "images" or model.weights is None:
        return None
    found = _of_weights(model, model.weights)
    return None if found is None else Statistics(*(_for_channels(values, channels) for values in found))


def _of_weights(model: ModelParams, weights: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and std that the weights were trained with, or None if nothing says so."""
    path = find_weights(weights, "model.weights")
    if path.suffix != ".safetensors":
        try:
            content = load_weights_only(path)
        except ValueError:
            return None  # `load_pretrained` says what is wrong with the file
        if isinstance(content, dict) and "description" in content and "state" in content:
            from fct.models.saved import load

            _, description = load(path, remedy="Name another file.")
            return description.mean, description.std
    if model.name.startswith(TIMM):
        import timm

        config = timm.get_pretrained_cfg(model.name.removeprefix(TIMM), allow_unregistered=True)
        return (config.mean, config.std) if config is not None else None
    if model.name in OWN:
        return None
    from torchvision import models

    preset = models.get_model_weights(model.name).DEFAULT.transforms()
    return preset.mean, preset.std


def _for_channels(values: Sequence[float], channels: int) -> list[float]:
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * channels
