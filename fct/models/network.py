"""The network that is trained and exported: normalisation, backbone, taps on inner layers, residual mapping blocks."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fct.core.errors import FctError
from fct.models.residual import ResidualMappingBlock


class Network(nn.Module):
    """A classifier of uint8 images that shows the features of chosen inner layers.

    Args:
        backbone: float [B, C, H, W] -> logits [B, classes].
        mean: of the training images' channels, on the scale 0..1.
        std: likewise.
        layers: names of the backbone's modules whose outputs are the features phi_l.
        block_width: bottleneck width of a residual mapping block after each layer, relative to the layer's channels;
            None for a network without blocks.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        layers: Sequence[str],
        block_width: float | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.layers = tuple(layers)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        check_layers(backbone, layers)
        self.blocks: nn.ModuleDict | None = None
        if block_width is not None:
            channels = _channels_of(self)
            self.blocks = nn.ModuleDict(
                {_key(layer): ResidualMappingBlock(channels[layer], bottleneck=block_width) for layer in layers}
            )

    def watch(self, layers: Sequence[str], *, key: str) -> None:
        """Show the features of `layers`, read from `key`, too from the next call on; the prediction stays the same."""
        check_layers(self.backbone, layers, key=key)
        self.layers = tuple(dict.fromkeys([*self.layers, *layers]))

    @property
    def uses_quality(self) -> bool:
        """Whether the prediction depends on the image's JPEG quality."""
        return self.blocks is not None

    def forward(self, image: Tensor, quality: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Classify images and show their features.

        Args:
            image: uint8 [B, C, H, W].
            quality: int64 [B], each image's JPEG quality, 100 for one that never was a JPEG; used by blocks only.

        Returns:
            Logits [B, classes], and for each layer its feature as later layers see it: after its block.
        """
        features: dict[str, Tensor] = {}
        # Hooks live for one call: a copied, compiled or exported network carries none, and a failed call leaves none.
        handles = [self._tap(layer, quality, features) for layer in self.layers]
        try:
            logits = self.backbone(self.normalised(image))
        finally:
            for handle in handles:
                handle.remove()
        return logits, features

    def normalised(self, image: Tensor) -> Tensor:
        """Return uint8 images as float images of mean 0 and standard deviation 1, in the same memory format."""
        return (image.to(self.mean.dtype) / 255 - self.mean) / self.std

    def _tap(self, layer: str, quality: Tensor, features: dict[str, Tensor]) -> RemovableHandle:
        has_block = self.blocks is not None and _key(layer) in self.blocks

        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            shown: Tensor = self.blocks[_key(layer)](output, quality) if self.blocks and has_block else output
            features[layer] = shown.clone()  # what comes next may work in place, as many ReLUs and sums do
            return shown

        return self.backbone.get_submodule(layer).register_forward_hook(hook)


def check_layers(backbone: nn.Module, layers: Sequence[str], *, key: str = "method.layers") -> None:
    """Refuse layer names, read from `key` of params.yaml, that `backbone` does not have; name the nearest it has."""
    known = [name for name, _ in backbone.named_modules() if name]
    for layer in layers:
        if layer not in known:
            near = difflib.get_close_matches(layer, known, n=3) or known[:8]
            raise FctError(f"params.yaml: {key}: no layer is called {layer!r}. Nearest: {', '.join(near)}.")


def _key(layer: str) -> str:
    """Return `layer` as a key that ModuleDict allows."""
    return layer.replace(".", "/")


@torch.no_grad()
def _channels_of(network: Network, size: int = 64) -> dict[str, int]:
    """Return the channels of each layer's feature, seen by passing one grey image through the backbone."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(layer: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        shapes[layer] = tuple(output.shape)

    backbone = network.backbone
    handles = [backbone.get_submodule(layer).register_forward_hook(partial(note, layer)) for layer in network.layers]
    training = backbone.training
    try:
        backbone.eval()(torch.zeros(1, network.mean.shape[1], size, size))
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    for layer, shape in shapes.items():
        if len(shape) != 4:
            raise FctError(
                f"params.yaml: method.layers: {layer!r} gives a feature of shape {list(shape)}; "
                "a residual mapping block needs [B, C, H, W]."
            )
    return {layer: shape[1] for layer, shape in shapes.items()}
