"""Stems for small images, in the place of those that were made for photographs of 224 pixels.

A stem for ImageNet divides height and width by two or four before the first block has seen anything: of 32 pixels too
little is left. What takes its place keeps the resolution, as the networks of He et al. for CIFAR-10 do.
"""

from __future__ import annotations

from torch import nn

from fct.core.errors import FctError


def use_small_stem(model: nn.Module, name: str) -> None:
    """Swap the stem of `model`, of torchvision or timm, in place.

    - ResNets: the 7x7 convolution with stride 2 becomes 3x3 without, and the pooling behind it goes. Of smaller ones in
      a row, as in timm's resnet26d and in ShuffleNets, the first loses its stride; its weights stay.
    - MobileNets and EfficientNets: the first convolution loses its stride; its weights stay.
    - ConvNeXts: patches of 4x4 pixels become patches of 2x2.

    Raises:
        FctError: the stem is none of these.
    """
    first = getattr(model, "conv1", None)
    if isinstance(first, nn.Conv2d) and hasattr(model, "maxpool"):
        model.conv1 = _like(first, kernel=3, stride=1, padding=1)
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
            parent, _, own = path.rpartition(".")
            setattr(model.get_submodule(parent), own, _like(conv, kernel=2, stride=2, padding=0))
            return
        if conv.stride == (2, 2):
            conv.stride = (1, 1)
            return
    raise FctError(
        f"params.yaml: model.stem: {name!r} has no stem that is known how to make small. Set it to own, or choose a "
        "ResNet, MobileNet, EfficientNet or ConvNeXt."
    )


def _like(conv: nn.Conv2d, *, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    bias = conv.bias is not None
    return nn.Conv2d(conv.in_channels, conv.out_channels, kernel, stride, padding, bias=bias)
