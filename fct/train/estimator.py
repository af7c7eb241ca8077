"""Train the quality estimator of a trained network, for images without JPEG tables or with tables that mislead.

The estimator is trained after the network, on the same images and views. The network's own weights do not change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from fct.images.tables import UNKNOWN_QUALITY
from fct.methods.batch import Batch
from fct.methods.params import MethodParams
from fct.models.network import Network
from fct.nn.estimator import QualityEstimator
from fct.train.batches import epoch
from fct.train.crop import Augmentation
from fct.train.loop import PREFETCH, Data
from fct.train.params import TrainParams
from fct.train.precision import autocast
from fct.train.prefetch import prefetch

STEPS = 500
SMALLEST_BATCH = 16  # images
LARGEST_BATCH = 32  # images; with 128 the estimates are no better, and take four times as long
LEARNING_RATE = 1e-2  # of Adam, at the peak of the one-cycle schedule
HUBER_DELTA = 10  # quality points; smaller errors count squared, larger ones linearly
RAW = 2  # one raw image for so many compressed ones; with as many, estimates of low qualities are too high


def fit_estimator(network: Network, data: Data, method: MethodParams, params: TrainParams) -> None:
    """Train an estimator for `network`, trained and in evaluation mode, if it has blocks and `method` asks for one."""
    if not network.uses_quality or method.block.unknown_quality != "estimate":
        return
    torch.manual_seed(params.seed)
    device = network.mean.device
    estimator = QualityEstimator(network.mean.shape[1])
    estimator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    optimiser = torch.optim.Adam(estimator.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS + 1)
    batches = prefetch(itertools.islice(_batches(data, params, device), STEPS), PREFETCH)
    for batch in tqdm(batches, total=STEPS, desc="quality estimator", unit="step", disable=None):
        some = slice(None, None, RAW)
        image = network.normalised(torch.cat([batch.raw[some], batch.compressed]))
        # A raw image without tables counts as uncompressed.
        raw_quality = batch.raw_quality[some]
        raw_quality = raw_quality.masked_fill(raw_quality == UNKNOWN_QUALITY, 100)
        quality = torch.cat([raw_quality, batch.quality]).float()
        with autocast("fp32" if params.precision == "fp16" else params.precision, device):  # no loss scaling
            estimate = estimator(image)
        loss = functional.huber_loss(estimate, quality, delta=HUBER_DELTA)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        schedule.step()
    network.estimator = estimator.eval()


def batch_size(images: int, params: TrainParams) -> int:
    """Return the images per step: at most as many as in the network's training, and no more in total than it saw.

    The estimator thus never takes longer than the training of the network, even for a few hundred images.
    """
    return min(params.batch_size, LARGEST_BATCH, max(SMALLEST_BATCH, params.epochs * images // STEPS))


def _batches(data: Data, params: TrainParams, device: torch.device) -> Iterator[Batch]:
    """Yield batches without end. Qualities are drawn uniformly; both views share crop and flip."""
    for number in itertools.count():
        yield from epoch(
            data.train,
            data.source,
            Augmentation(params.crop_padding, params.flip, cutout=0, shared=True, size=data.val.images.shape[1]),
            batch_size=batch_size(len(data.train), params),
            rng=np.random.default_rng([params.seed, number]),
            device=device,
        )
