"""Backbones by name: the project's small networks, or any classification model of torchvision or timm."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from fct.core.errors import FctError, install
from fct.core.params import location
from fct.models import stems
from fct.models.params import Stem
from fct.models.resnet import DEPTHS, ResNet
from fct.models.speednet import SMALLEST, SpeedNet

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

OWN = (*DEPTHS, "speednet")
TIMM = "timm/"  # prefix of the name of a timm model


def build_backbone(  # noqa: PLR0913  # what decides the architecture
    name: str, *, width: int, classes: int, channels: int, size: int, stem: Stem = "own"
) -> nn.Module:
    """Return an untrained backbone: float [B, channels, H, W] -> logits [B, classes].

    Args:
        name: the model's name.
        width: channels of the first stage of the project's networks; other models ignore it.
        classes: number of classes.
        channels: the number of channels of the images, 1 or 3.
        size: height and width of the images in pixels.
        stem: "small" replaces a stem that is made for large images.

    Raises:
        FctError: no model has this name (the message lists the nearest), timm is not installed, or the model does not
            fit the size of the images.
    """
    if name in OWN:
        if stem != "own":
            raise FctError(f"{location('model.stem')}: {name} is made for small images already. Set it to own.")
        if name == "speednet" and size < SMALLEST:
            raise FctError(
                f"{location('model.name')}: speednet needs images of {SMALLEST} pixels or more; these have {size}. "
                "Choose resnet8, or larger images (data.folder.pixels)."
            )
        if name == "speednet":
            return SpeedNet(width=width, classes=classes, channels=channels)
        return ResNet(DEPTHS[name], width=width, classes=classes, channels=channels)
    if name.startswith(TIMM):
        model = _timm(name, classes=classes, channels=channels, size=size)
        needs_wrapper = False
    else:
        model, needs_wrapper = _torchvision(name, classes=classes, size=size), channels == 1
    if stem == "small":
        stems.use_small_stem(model, name)
    return _FromGrey(model) if needs_wrapper else model


def unwrap_grey(backbone: nn.Module) -> nn.Module:
    """Return the model without the wrapper for grey images. Published weights fit this model."""
    return backbone.model if isinstance(backbone, _FromGrey) else backbone


def head_name(backbone: nn.Module) -> str:
    """Return the name of the layer that gives the logits: the last linear layer or convolution."""
    names: list[str] = [name for name, module in backbone.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return names[-1]


def head_names(model: nn.Module) -> set[str]:
    """Return the names of all layers that give logits. A distilled model of timm has two, and averages them.

    Args:
        model: a model without the wrapper for grey images.
    """
    named = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    return {head_name(model), *(named if isinstance(named, tuple) else ())}


def timm_config(name: str) -> PretrainedCfg | None:
    """Return what timm knows of the published weights of a model; None if it knows of none.

    Args:
        name: timm/NAME for its default weights, or timm/NAME.TAG, such as timm/resnet18.a1_in1k.

    Raises:
        FctError: it has no weights of this tag.
    """
    import timm

    timm_name = name.removeprefix(TIMM)
    try:
        return timm.get_pretrained_cfg(timm_name, allow_unregistered=True)
    except RuntimeError:
        architecture, _, tag = timm_name.partition(".")
        known = [TIMM + each for each in timm.list_pretrained(f"{architecture}.*")]
        raise FctError(
            f"{location('model.name')}: timm has no weights {tag!r} of {architecture}. It has {', '.join(known)}."
        ) from None


def refuse_unknown(name: str) -> None:
    """Refuse a name that no classifier of torchvision has.

    Raises:
        FctError: no model has this name. The message lists the nearest.
    """
    from torchvision import models  # seconds to import, and only needed for its models

    names = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, [*OWN, *names], n=3)
        others = f"It is one of {', '.join(OWN)}, a classifier of torchvision, or {TIMM} and a model of timm."
        hint = f"Nearest: {', '.join(near)}." if near else others
        raise FctError(f"{location('model.name')}: no model is called {name!r}. {hint}")


def _torchvision(name: str, *, classes: int, size: int) -> nn.Module:
    from torchvision import models

    refuse_unknown(name)
    # The auxiliary heads of GoogLeNet and Inception return tuples. Without these heads they are plain classifiers.
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_"):
        _check_patches(name, int(name.rpartition("_")[2]), size)
        extra = {"image_size": size}
    model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
    return model


def _timm(name: str, *, classes: int, channels: int, size: int) -> nn.Module:
    try:
        import timm
        from timm.layers.patch_embed import PatchEmbed
    except ImportError:
        raise FctError(f"{location('model.name')}: {name} needs timm. Install it: {install('timm')}") from None
    timm_name = name.removeprefix(TIMM)
    if not timm.is_model(timm_name):
        near = difflib.get_close_matches(timm_name, timm.list_models(), n=3)
        hint = f" Nearest: {', '.join(TIMM + model_name for model_name in near)}." if near else ""
        raise FctError(f"{location('model.name')}: timm has no model {timm_name!r}.{hint}")
    config = timm_config(name)
    extra: dict[str, Any] = {"img_size": size} if config is not None and config.fixed_input_size else {}
    try:
        model: nn.Module = timm.create_model(
            timm_name, pretrained=False, num_classes=classes, in_chans=channels, **extra
        )
    except (AssertionError, TypeError, ValueError) as error:
        raise FctError(f"{location('model.name')}: {name} cannot be made for {size} pixels: {error}") from None
    embed = getattr(model, "patch_embed", None)
    if isinstance(embed, PatchEmbed) and not embed.dynamic_img_pad:
        _check_patches(name, max(embed.patch_size), size)
    return model


def _check_patches(name: str, patch: int, size: int) -> None:
    """Check that patches cover the image. Pixels beyond the last whole patch would be ignored."""
    if size % patch:
        raise FctError(
            f"{location('model.name')}: {name} divides images into patches of {patch} pixels, but {size} is not a "
            f"multiple of {patch}. Choose another model, or another size (data.folder.pixels)."
        )


class _FromGrey(nn.Module):
    """Repeats a greyscale image three times, for a model that expects three channels."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x.expand(-1, 3, -1, -1))
        return logits
