"""The network that is trained and exported: normalisation, backbone, taps on inner layers, residual mapping blocks."""

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
    """A classifier of uint8 images that shows the features of chosen inner layers.

    Args:
        backbone: float [B, C, H, W] -> logits [B, classes].
        mean: of the training images' channels, on the scale 0..1.
        std: likewise.
        layers: names of the backbone's modules whose outputs are the features phi_l.
        block: where and what residual mapping blocks are; None for a network without.
        size: pixels, height and width, of the images that the network is made for.
        flip_tta: whether a prediction is the mean of the logits of the image and of its mirror image; not in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(  # noqa: PLR0913  # what a network is made of, by name
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
        self._see(layers, "method.layers")
        self.blocks: nn.ModuleDict | None = None
        self.shows_before = block is not None and block.consistency == "before"
        if block is not None:
            seen = self._see(block.layers, "method.block.layers")
            self.blocks = nn.ModuleDict({layer_key(layer): _block(layer, seen[layer], block) for layer in block.layers})
        self.estimator: QualityEstimator | None = None  # fct.train.estimator gives a trained network one

    def watch(self, layers: Sequence[str], *, key: str) -> None:
        """Show the features of `layers`, read from `key`, too from the next call on; the prediction stays the same."""
        self._see(layers, key)
        self.layers = tuple(dict.fromkeys([*self.layers, *layers]))

    @property
    def uses_quality(self) -> bool:
        """Whether the prediction depends on the image's JPEG quality."""
        return self.blocks is not None

    def forward(self, image: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify images and show their features.

        Args:
            image: uint8 [B, C, H, W].
            quality: int64 [B], each image's JPEG quality, 1..100, used by blocks only; `NO_TABLES` (0) where no table
                tells it. Then a network with an estimator takes what that makes of the pixels, but not in training;
                blocks pass all others unchanged, as at quality 100.

        Returns:
            Logits [B, classes], and for each layer its feature [B, channels, ...]: after its block, as later layers see
            it, or before it where the blocks' `consistency` says so; those of the image, not of its mirror image.
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
        tapped = dict.fromkeys([*self.layers, *(layer_of(key) for key in self.blocks or ())])
        # Hooks live for one call: a copied, compiled or exported network carries none, and a failed call leaves none.
        handles = [self._tap(layer, quality, features) for layer in tapped]
        try:
            logits = self.backbone(pixels)
        finally:
            for handle in handles:
                handle.remove()
        return logits, {layer: feature for layer, feature in features.items() if layer in self.layers}

    def _tap(self, layer: str, quality: Tensor, features: dict[str, Tensor]) -> RemovableHandle:
        has_block = self.blocks is not None and layer_key(layer) in self.blocks

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            handed_on: Tensor = self.blocks[layer_key(layer)](output, quality) if self.blocks and has_block else output
            shown = output if self.shows_before else handed_on
            # What comes next may work in place, as many ReLUs and sums do.
            features[layer] = channels_second(shown, self.layouts[layer]).clone()
            return handed_on

        return self.backbone.get_submodule(layer).register_forward_hook(hook)

    def _see(self, layers: Sequence[str], key: str) -> dict[str, Feature]:
        """Note how `layers`, read from `key` of params.yaml, lay out their features; return what they give."""
        known = [name for name, _ in self.backbone.named_modules() if name]
        for layer in layers:
            if layer not in known:
                near = difflib.get_close_matches(layer, known, n=3) or known[:8]
                raise FctError(
                    f"params.yaml: {key}: no layer is called {layer!r}. Nearest: {', '.join(near)}. "
                    "`fct layers` lists them."
                )
        seen = features_of(self.backbone, layers, key=key, channels=self.mean.shape[1], size=self.size)
        self.layouts |= {layer: feature.layout for layer, feature in seen.items()}
        return seen


def _block(layer: str, feature: Feature, params: BlockParams) -> ResidualMappingBlock:
    if len(feature.shape) == 2:
        raise FctError(
            f"params.yaml: method.block.layers: {layer!r} gives a feature of shape {list(feature.shape)}; "
            "a residual mapping block needs [B, C, H, W], or tokens [B, N, C]."
        )
    return ResidualMappingBlock(
        feature.shape[feature.layout.axis], feature.layout, width=params.width, quality=params.quality
    )
