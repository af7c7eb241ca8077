"""Stems for small images, which replace stems for photographs of 224 pixels.

A stem for ImageNet divides height and width by two or four before the first block. This leaves too little of 32 pixels.
The stems here keep the resolution (ConvNeXts halve it), as the networks of He et al. for CIFAR-10 do.
"""

from __future__ import annotations

from torch import nn

from fct.core.errors import FctError
from fct.core.params import location


def use_small_stem(model: nn.Module, name: str) -> None:
    """Replace the stem of `model`, of torchvision or timm, in place.

    - ResNets: a 3x3 convolution without stride replaces the 7x7 convolution with stride 2, and the pooling is removed.
      In a stem of several convolutions (timm's resnet26d, ShuffleNets) the first gets stride 1 and keeps its weights.
    - MobileNets and EfficientNets: the first convolution gets stride 1 and keeps its weights.
    - ConvNeXts: patches of 2x2 pixels replace patches of 4x4.

    Raises:
        FctError: the stem is of another kind.
    """
    first = getattr(model, "conv1", None)
    if isinstance(first, nn.Conv2d) and hasattr(model, "maxpool"):
        model.conv1 = _copy_with(first, kernel=3, stride=1, padding=1)
        model.maxpool = nn.Identity()
        return
    if isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d) and hasattr(model, "maxpool"):
        first[0].stride = (1, 1)
        model.maxpool = nn.Identity()
        return
    for path in ("features.0.0", "conv_stem", "stem.0", "stem_0"):
        try:
            conv = model.get_submodule(path)
        except AttributeError:
            continue
        if not isinstance(conv, nn.Conv2d):
            continue
        if conv.kernel_size == (4, 4) and conv.stride == (4, 4):
            parent, _, name_in_parent = path.rpartition(".")
            setattr(model.get_submodule(parent), name_in_parent, _copy_with(conv, kernel=2, stride=2, padding=0))
            return
        if conv.stride == (2, 2):
            conv.stride = (1, 1)
            return
    raise FctError(
        f"{location('model.stem')}: the stem of {name!r} cannot be made small. Set it to own, or choose a "
        "ResNet, MobileNet, EfficientNet or ConvNeXt."
    )


def _copy_with(conv: nn.Conv2d, *, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    bias = conv.bias is not None
    return nn.Conv2d(conv.in_channels, conv.out_channels, kernel, stride, padding, bias=bias)
