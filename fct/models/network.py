"""The network that is trained and exported: normalisation, backbone, features of layers, residual mapping blocks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fct.core.errors import FctError
from fct.images.tables import NO_TABLES
from fct.models.features import Feature, features_of
from fct.models.params import BlockParams
from fct.nn.estimator import QualityEstimator
from fct.nn.layout import Layout, channels_second, layer_key, layer_of
from fct.nn.residual import ResidualMappingBlock


class Network(nn.Module):
    """A classifier of uint8 images that also returns the features of chosen layers.

    Args:
        backbone: float [B, C, H, W] -> logits [B, classes].
        mean: of each channel of the training images, on the scale 0..1.
        std: of each channel, on the same scale.
        layers: names of the backbone's modules whose outputs are the features phi_l.
        block: layers and kind of the residual mapping blocks; None for a network without blocks.
        size: of the images, pixels, height and width.
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
            self.blocks = nn.ModuleDict(
                {layer_key(layer): _make_block(layer, features[layer], block) for layer in block.layers}
            )
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
            quality: int64 [B], JPEG quality of each image, 1..100, or `NO_TABLES` (0) if it is unknown. Only blocks use
                it. At inference, an estimator replaces an unknown quality by its estimate. In training, or without an
                estimator, an unknown quality counts as 100, at which blocks change nothing.

        Returns:
            Logits [B, classes], and the feature of each layer, [B, channels, ...], after the layer's block, as later
            layers get it. With the blocks' `consistency: before` it is the feature before the block. Features are those
            of the image, never of its mirror image.
        """
        pixels = self.normalised(image)
        unknown = quality == NO_TABLES
        if self.estimator is not None and not self.training:
            quality = torch.where(unknown, self.estimator(pixels), quality)
        else:
            quality = quality.masked_fill(unknown, 100)
        logits, features = self._pass(pixels, quality)
        if self.flip_tta and not self.training:
            logits = (logits + self._pass(pixels.flip(3), quality)[0]) / 2
        return logits, features

    def normalised(self, image: Tensor) -> Tensor:
        """Return uint8 images as float images of mean 0 and standard deviation 1, in the same memory format."""
        return (image.to(self.mean.dtype) / 255 - self.mean) / self.std

    def _pass(self, pixels: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        features: dict[str, Tensor] = {}
        hooked = dict.fromkeys([*self.layers, *(layer_of(key) for key in self.blocks or ())])
        # Hooks exist only during a call: copied, compiled and exported networks have none, not even after an error.
        handles = [self._add_hook(layer, quality, features) for layer in hooked]
        try:
            logits = self.backbone(pixels)
        finally:
            for handle in handles:
                handle.remove()
        return logits, {layer: feature for layer, feature in features.items() if layer in self.layers}

    def _add_hook(self, layer: str, quality: Tensor, features: dict[str, Tensor]) -> RemovableHandle:
        has_block = self.blocks is not None and layer_key(layer) in self.blocks

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            corrected: Tensor = self.blocks[layer_key(layer)](output, quality) if self.blocks and has_block else output
            feature = output if self.returns_before else corrected
            # The next layer may work in place, as many ReLUs and sums do.
            features[layer] = channels_second(feature, self.layouts[layer]).clone()
            return corrected

        return self.backbone.get_submodule(layer).register_forward_hook(hook)

    def _add_layouts(self, layers: Sequence[str], key: str) -> dict[str, Feature]:
        """Store the layouts of the features of `layers`, named by `key` of params.yaml; return the features."""
        names = [name for name, _ in self.backbone.named_modules() if name]
        for layer in layers:
            if layer not in names:
                near = difflib.get_close_matches(layer, names, n=3) or names[:8]
                raise FctError(
                    f"params.yaml: {key}: no layer is called {layer!r}. Nearest: {', '.join(near)}. "
                    "`fct layers` lists all layers."
                )
        features = features_of(self.backbone, layers, key=key, channels=self.mean.shape[1], size=self.size)
        self.layouts |= {layer: feature.layout for layer, feature in features.items()}
        return features


def _make_block(layer: str, feature: Feature, params: BlockParams) -> ResidualMappingBlock:
    if len(feature.shape) == 2:
        raise FctError(
            f"params.yaml: method.block.layers: {layer!r} returns a feature of shape {list(feature.shape)}. "
            "A residual mapping block needs a map [B, C, H, W] or tokens [B, N, C]. Choose another layer."
        )
    return ResidualMappingBlock(
        feature.shape[feature.layout.axis], feature.layout, width=params.width, quality=params.quality
    )
