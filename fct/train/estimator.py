"""Teach a trained network to estimate the quality of images that no JPEG table tells it of.

The network's own weights stay as they are: the estimator learns from the same images and views, after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from fct.images.tables import NO_TABLES
from fct.methods.batch import Batch
from fct.methods.params import MethodParams
from fct.models.network import Network
from fct.nn.estimator import QualityEstimator
from fct.train.batches import epoch
from fct.train.crop import Augmentation
from fct.train.loop import AHEAD, Data
from fct.train.params import TrainParams
from fct.train.precision import autocast
from fct.train.prefetch import prefetch

STEPS = 500
LEARNING_RATE = 4e-3  # of Adam, at the peak of the one-cycle schedule
ROUNDED = 10  # quality points within which an error counts with its square, beyond by its size


def fit_estimator(network: Network, data: Data, method: MethodParams, params: TrainParams) -> None:
    """Give `network`, trained and in evaluation mode, an estimator, if it has blocks and `method` wants one."""
    if not network.uses_quality or method.block.unknown_quality != "estimate":
        return
    torch.manual_seed(params.seed)
    device = network.mean.device
    estimator = QualityEstimator(network.mean.shape[1])
    estimator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    optimiser = torch.optim.Adam(estimator.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=STEPS + 1)
    batches = prefetch(itertools.islice(_batches(data, params, device), STEPS), AHEAD)
    for batch in tqdm(batches, total=STEPS, desc="quality estimator", unit="step", disable=None):
        image = network.normalised(torch.cat([batch.raw, batch.compressed]))
        raw_quality = batch.raw_quality.masked_fill(batch.raw_quality == NO_TABLES, 100)  # nothing is lost
        quality = torch.cat([raw_quality, batch.quality]).float()
        with autocast(params.precision, device):
            estimate = estimator(image)
        loss = functional.huber_loss(estimate, quality, delta=ROUNDED)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        schedule.step()
    network.estimator = estimator.eval()


def _batches(data: Data, params: TrainParams, device: torch.device) -> Iterator[Batch]:
    """Yield batches without end, all trained qualities alike, under one crop and flip for both views."""
    for number in itertools.count():
        yield from epoch(
            data.train,
            data.source,
            Augmentation(params.crop_padding, params.flip, cutout=0, shared=True),
            batch_size=params.batch_size,
            rng=np.random.default_rng([params.seed, number]),
            device=device,
        )
