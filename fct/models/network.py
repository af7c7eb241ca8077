"""The network that is trained and exported: normalisation, backbone, features of layers, residual mapping blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fct.core.errors import FctError
from fct.core.params import location
from fct.models.features import features_of
from fct.models.params import BlockParams
from fct.nn.aware import block_hooks, known, make_blocks
from fct.nn.estimator import QualityEstimator
from fct.nn.hooks import Hook, hooked
from fct.nn.layout import Feature, Layout, channels_second


class Network(nn.Module):
    """A classifier of uint8 images that also returns the features of chosen layers.

    Args:
        backbone: float [B, C, H, W] -> logits [B, classes].
        mean: mean of each channel of the training images, on the scale 0..1.
        std: standard deviation of each channel, on the same scale.
        layers: names of the backbone's modules whose outputs are the features phi_l.
        block: layers and kind of the residual mapping blocks; None for a network without blocks.
        size: the height and width of the images, in pixels.
        flip_tta: at inference, the logits are the mean over the image and its mirror image.
    """

    mean: Tensor
    std: Tensor

    def __init__(  # noqa: PLR0913  # all keyword-only
        self,
        backbone: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        layers: Sequence[str],
        block: BlockParams | None = None,
        size: int = 64,
        flip_tta: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.layers = tuple(layers)
        self.size = size
        self.flip_tta = flip_tta
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.layouts: dict[str, Layout] = {}
        self._add_layouts(layers, "method.layers")
        self.blocks: nn.ModuleDict | None = None
        self.returns_before = block is not None and block.consistency == "before"
        if block is not None:
            features = self._add_layouts(block.layers, "method.block.layers")
            self.blocks = _make_blocks(features, block)
        self.estimator: QualityEstimator | None = None  # set by fct.train.estimator

    def watch(self, layers: Sequence[str], *, key: str) -> None:
        """Also return the features of `layers`, named by `key` of params.yaml. The predictions do not change."""
        self._add_layouts(layers, key)
        self.layers = tuple(dict.fromkeys([*self.layers, *layers]))

    @property
    def uses_quality(self) -> bool:
        """Whether the prediction depends on the image's JPEG quality."""
        return self.blocks is not None

    def forward(self, image: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify images and return their features.

        Args:
            image: uint8 [B, C, H, W].
            quality: int64 [B], JPEG quality of each image, 1..100, or `UNKNOWN_QUALITY` (0) if it is unknown. Only
                blocks use it. An unknown quality counts as 100, at which blocks change nothing. At inference, an
                estimator's lower estimate replaces any quality.

        Returns:
            Logits [B, classes], and the feature of each layer, [B, channels, ...]. It is the feature after the layer's
            block, which later layers get; with the blocks' `consistency: before`, the one before the block. Features
            are those of the image, never of its mirror image.
        """
        pixels = self.normalised(image)
        quality = known(quality)
        if self.estimator is not None and not self.training:
            # Tables tell of the last compression alone, and of what an encoder meant to keep.
            quality = torch.minimum(quality, self.estimator(pixels))
        logits, features = self._pass(pixels, quality)
        if self.flip_tta and not self.training:
            logits = (logits + self._pass(pixels.flip(3), quality)[0]) / 2
        return logits, features

    def normalised(self, image: Tensor) -> Tensor:
        """Return uint8 images as float images of mean 0 and standard deviation 1, in the same memory format."""
        return (image.to(self.mean.dtype) / 255 - self.mean) / self.std

    def _pass(self, pixels: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        features: dict[str, Tensor] = {}
        corrections = block_hooks(self.blocks, quality) if self.blocks is not None else {}
        hooks = {
            layer: self._hook(layer, corrections.get(layer), features)
            for layer in dict.fromkeys([*self.layers, *corrections])
        }
        with hooked(self.backbone, hooks):
            logits = self.backbone(pixels)
        return logits, features

    def _hook(self, layer: str, correct: Hook | None, features: dict[str, Tensor]) -> Hook:
        """Return the hook of `layer`. It corrects the output if there is a block, and stores it if it is a feature."""

        def hook(output: Tensor) -> Tensor:
            corrected = output if correct is None else correct(output)
            if layer in self.layers:
                feature = output if self.returns_before else corrected
                # The next layer may work in place, as many ReLUs and sums do.
                features[layer] = channels_second(feature, self.layouts[layer]).clone()
            return corrected

        return hook

    def _add_layouts(self, layers: Sequence[str], key: str) -> dict[str, Feature]:
        """Store the layouts of the features of `layers`, named by `key` of params.yaml; return the features."""
        features = features_of(self.backbone, layers, key=key, channels=self.mean.shape[1], size=self.size)
        self.layouts |= {layer: feature.layout for layer, feature in features.items()}
        return features


def _make_blocks(features: dict[str, Feature], params: BlockParams) -> nn.ModuleDict:
    try:
        return make_blocks(features, width=params.width, quality=params.quality)
    except ValueError as error:
        raise FctError(f"{location('method.block.layers')}: {error}") from None
