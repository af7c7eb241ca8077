"""Measures how far compression moves a network's inner features: feature consistency training lowers this quantity.

For a layer l and a quality q, over many images x with compressed views x~,

    mean ||phi_l(x~) - phi_l(x)||^2 / mean ||phi_l(x) - centre_l||^2

where centre_l is the mean of each channel. The value is 0 if compression changes nothing. It is 1 if compression moves
a feature as far as features of different images and places are from their mean. The paper's normalisation is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct.models.device import to_device
from fct.models.network import Network
from fct.models.params import FeaturesParams
from fct.splits.store import Split
from fct.splits.views import compress_split

BATCH = 250  # images forwarded at a time


def measure_distortion(
    network: Network, test: Split, params: FeaturesParams, subsampling: str
) -> dict[str, dict[int, float]]:
    """Compress `params.images` images of `test` and measure the distortion of `params.layers` on them."""
    sample = test.every(test.step(params.images))
    views = {
        quality: compress_split(sample, quality, subsampling, description=f"Q{quality}") for quality in params.qualities
    }
    return distortion(network, sample.images, np.array(sample.quality), views, params.layers)


@torch.inference_mode()
def distortion(
    network: Network,
    raw: NDArray[np.uint8],
    raw_quality: NDArray[np.int64],
    views: Mapping[int, NDArray[np.uint8]],
    layers: Sequence[str],
) -> dict[str, dict[int, float]]:
    """Measure the distortion of each layer's feature at each quality.

    Args:
        network: in evaluation mode.
        raw: uint8 [N, H, W, C].
        raw_quality: int64 [N], the JPEG quality of each file.
        views: by quality, the compressed views of the same images, uint8 [N, H, W, C].
        layers: names of the backbone's modules.

    Returns:
        Layer -> quality -> distortion.
    """
    moved = {layer: dict.fromkeys(views, 0.0) for layer in layers}
    squares = dict.fromkeys(layers, 0.0)
    sums: dict[str, Tensor] = dict.fromkeys(layers, torch.zeros(()))  # per channel
    values = dict.fromkeys(layers, 0)  # number of values per channel
    network.watch(layers, key="features.layers")
    device = network.mean.device
    for start in range(0, len(raw), BATCH):
        rows = slice(start, start + BATCH)
        _, clean = network(to_device(np.array(raw[rows]), device), torch.from_numpy(raw_quality[rows]).to(device))
        for layer in layers:
            feature = clean[layer].double()  # sums of squares lose digits in single precision
            squares[layer] += float(feature.square().sum())
            sums[layer] = sums[layer] + feature.transpose(0, 1).flatten(1).sum(1)
            values[layer] += feature.numel() // feature.shape[1]
        for quality, images in views.items():
            compressed = to_device(np.array(images[rows]), device)
            _, features = network(compressed, torch.full((len(compressed),), quality, device=device))
            for layer in layers:
                moved[layer][quality] += float((features[layer] - clean[layer]).square().sum())
    # The variance is around the mean over all images, not over the images of one batch.
    spread = {layer: squares[layer] - float(sums[layer].square().sum()) / values[layer] for layer in layers}
    return {
        layer: {quality: value / max(spread[layer], 1e-12) for quality, value in by_quality.items()}
        for layer, by_quality in moved.items()
    }
