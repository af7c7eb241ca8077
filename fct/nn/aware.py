"""Any model with residual mapping blocks: a classifier that knows the JPEG quality of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from fct.images.tables import UNKNOWN_QUALITY
from fct.nn.hooks import Hook, hooked
from fct.nn.layout import LAYOUTS, Feature, features_of, float_weight, layer_key, layer_of
from fct.nn.residual import QualityInput, ResidualMappingBlock, check_quality


class QualityAware(nn.Module):
    """A model with a residual mapping block behind each of some layers: (image, quality) -> the model's output.

    Wan et al., IEEE TCSVT 2020, reconstructed from the abstract. The model itself is not changed: its weights are at
    `model.*` of the state dict, the blocks at `blocks.*`. Untrained blocks change nothing, so a pretrained model keeps
    its predictions at first. Train both together on raw and compressed images; a raw image has the quality of its own
    file, or an unknown one. Taps on a layer that has a block take the feature after the block.

    Args:
        model: float [B, C, H, W] -> output of any kind.
        layers: names of its modules, as `model.named_modules()` has them. Their outputs are maps or tokens.
        image_shape: [C, H, W] of a square image that the model takes, to find the shapes of the layers' outputs.
        width: the width of the blocks' bottleneck, relative to the layer's channels.
        quality: how the quality enters a block; see `ResidualMappingBlock`.

    Shape:
        image: as the model takes it.
        quality: None, or integers or floats [B], 1..100, or `UNKNOWN_QUALITY` (0) for images whose files have no JPEG
            tables, as `estimate_quality` returns. Blocks change nothing if the quality is unknown. It is moved to the
            image's device. Its range is checked on the CPU only: on a GPU the check would have to wait. Compiled and
            exported models do not check it.
        output: as the model's.

    Raises:
        TypeError: the model is compiled; compile the `QualityAware` instead.
        ValueError: no layer has this name (the message lists the nearest), a layer's output takes no block, the model
            does not take such images, or the quality is out of range or not one for each image.
        RuntimeError: a layer ran inside a reentrant checkpoint. Checkpoint the `QualityAware`, not parts of the model.

    Example:
        >>> from torchvision.models import resnet18
        >>> model = QualityAware(resnet18(), ["layer1", "layer2"], image_shape=(3, 64, 64))
        >>> model(torch.randn(2, 3, 64, 64), torch.tensor([10, 90])).shape
        torch.Size([2, 1000])
        >>> model(torch.randn(2, 3, 64, 64)).shape  # the quality is not known
        torch.Size([2, 1000])
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        *,
        image_shape: tuple[int, int, int] = (3, 224, 224),
        width: float = 1.0,
        quality: QualityInput = "film",
    ) -> None:
        super().__init__()
        channels, size = _checked_shape(image_shape)
        if isinstance(layers, str) or not layers:
            raise ValueError(f"layers is {layers!r}; it is a list of one or more names.")
        if isinstance(model, (DataParallel, DistributedDataParallel)):
            raise TypeError(f"the model is a {type(model).__name__}; wrap the QualityAware in it instead.")
        if any(map(_is_compiled, model.modules())):  # compiled code does not notice new hooks
            raise TypeError("the model is compiled, or a part of it; compile the QualityAware instead.")
        self.model = model
        features = features_of(model, layers, channels=channels, size=size)
        self.blocks = make_blocks(features, width=width, quality=quality).to(float_weight(model))

    def forward(self, image: Tensor, quality: Tensor | None = None) -> Any:
        """Return the model's output."""
        quality = _checked(quality, image)
        with hooked(self.model, block_hooks(self.blocks, quality)):
            return self.model(image)


def make_blocks(features: Mapping[str, Feature], *, width: float, quality: QualityInput) -> nn.ModuleDict:
    """Return a block for each layer, under its `layer_key`.

    Raises:
        ValueError: a feature has no positions.
    """
    blocks = nn.ModuleDict()
    for layer, (shape, layout) in features.items():
        if layout == LAYOUTS["vector"]:
            raise ValueError(
                f"{layer!r} returns a feature of shape {list(shape)}. A residual mapping block needs a map "
                "[B, C, H, W] or tokens [B, N, C]. Choose another layer."
            )
        blocks[layer_key(layer)] = ResidualMappingBlock(shape[layout.axis], layout, width=width, quality=quality)
    return blocks


def block_hooks(blocks: nn.ModuleDict, quality: Tensor) -> dict[str, Hook]:
    """Return, for each layer that has a block, the hook that corrects its output for the quality, [B]."""
    return {layer_of(key): partial(_correct, block, quality) for key, block in blocks.items()}


def known(quality: Tensor) -> Tensor:
    """Return the quality, with 100 in place of each unknown one: at 100 blocks change nothing."""
    return quality.masked_fill(quality == UNKNOWN_QUALITY, 100)


def _correct(block: nn.Module, quality: Tensor, output: Tensor) -> Tensor:
    corrected: Tensor = block(output, quality)
    return corrected


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or module._compiled_call_impl is not None  # noqa: SLF001  # no public names


def _checked_shape(image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return the channels and the size. Errors are those of `QualityAware`."""
    if (
        not isinstance(image_shape, (tuple, list))
        or len(image_shape) != 3
        or any(not isinstance(length, int) or length < 1 for length in image_shape)
        or image_shape[1] != image_shape[2]
    ):
        raise ValueError(f"image_shape is {image_shape!r}; it is [C, H, W] of a square image, such as (3, 224, 224).")
    return image_shape[0], image_shape[1]


def _checked(quality: Tensor | None, image: Tensor) -> Tensor:
    """Return the quality of each image on the image's device. Errors are those of `QualityAware`."""
    if quality is None:
        return torch.full(image.shape[:1], 100, device=image.device)
    if not isinstance(quality, Tensor) or quality.dtype == torch.bool or quality.is_complex():
        kind = quality.dtype if isinstance(quality, Tensor) else type(quality).__name__
        raise ValueError(f"quality is {kind}; it is a tensor of numbers [B], or None.")
    if quality.shape != image.shape[:1]:
        raise ValueError(f"quality has shape {list(quality.shape)}; it is one number for each of {len(image)} images.")
    if quality.device.type == "cpu" and not torch.compiler.is_compiling():
        check_quality(quality)
    return known(quality.to(image.device, non_blocking=True))
