"""Make a network and its data from params and files. Used by training, search and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from fct.cache.params import CacheParams
from fct.cache.store import open_views
from fct.core.errors import FctError
from fct.core.files import digest, sha256
from fct.core.params import Section, location
from fct.jpeg.arrays import VERSION
from fct.methods.params import WITH_CONSISTENCY, MethodParams
from fct.methods.registry import WITH_BLOCKS
from fct.models.device import pick_device
from fct.models.network import Network
from fct.models.normalisation import Statistics, describe_other_images, normalisation
from fct.models.params import ModelParams
from fct.models.saved import Description
from fct.models.weights import find_weights, load_pretrained
from fct.splits.params import JpegParams
from fct.splits.shards import Images
from fct.splits.store import Split, drop_pages, open_split, read_meta
from fct.train.aids import BASELINE, baseline_file, check_teacher, teacher_file
from fct.train.freeze import freeze
from fct.train.group import ALONE, Group
from fct.train.loop import Data
from fct.train.optimiser import check_optimiser
from fct.train.params import TrainParams
from fct.train.precision import check_narrow, resolve_precision
from fct.train.sources import choose_source

STATISTICS_IMAGES = 5_000  # evenly spaced images, from which the channels' mean and deviation are computed
STATISTICS_CHUNK = 64  # images in memory at a time


class TrainingSections(Section):
    """The sections of params.yaml that decide a training, apart from its method."""

    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams

    def resolved(self) -> Self:
        """Return the sections with the precision that "auto" means on this machine."""
        return self.model_copy(update={"train": with_precision(self.train)})


def with_precision(train: TrainParams) -> TrainParams:
    """Return the section `train` with the precision that "auto" means on this machine."""
    return train.model_copy(update={"precision": resolve_precision(train.precision, pick_device())})


class Setup(NamedTuple):
    """Everything that decides a training, apart from its method."""

    qualities: tuple[int, ...]  # trained
    subsampling: str
    model: ModelParams
    train: TrainParams  # its precision is not auto

    @classmethod
    def of(cls, sections: TrainingSections) -> Setup:
        """Return the setup for resolved sections of params.yaml."""
        return cls(tuple(sections.cache.qualities), sections.jpeg.subsampling, sections.model, sections.train)


def open_data(setup: Setup, group: Group = ALONE) -> tuple[Data, dict[str, Any]]:
    """Open splits and caches, and check every manifest.

    Returns:
        The data, and the splits' meta with two more keys: the caches' `codec`, and the `order` of crop and compression.
    """
    meta = read_meta()
    train, val = open_split("train"), open_split("val")

    def views(split: Split) -> dict[int, Images]:
        return open_views(split, setup.qualities, setup.subsampling, source_digest=meta["digest"])

    source = choose_source(
        setup.train.views, train, lambda: views(train), setup.qualities, setup.subsampling, pick_device(), group
    )
    return Data(train, source, val, views(val)), meta | {"codec": VERSION, "order": source.order}


def identity(setup: Setup, method: MethodParams, meta: dict[str, Any]) -> dict[str, Any]:
    """Return everything that decides the weights of a training, except code. It identifies the checkpoint."""
    return {
        "data": meta["digest"],
        "qualities": list(setup.qualities),
        "subsampling": setup.subsampling,
        "codec": meta["codec"],
        "order": meta["order"],
        "model": setup.model.model_dump(),
        "train": setup.train.model_dump(),
        "method": method.model_dump(),
        "weights": sha256(find_weights(setup.model.weights, "model.weights"))
        if setup.model.weights is not None
        else None,
        "teacher": sha256(teacher_file(method)) if method.needs_teacher_file else None,
        "start": sha256(baseline_file("train.start")) if setup.train.start == BASELINE else None,
    }


def make_network(setup: Setup, method: MethodParams, train: Split, meta: dict[str, Any]) -> tuple[Network, Description]:
    """Return a seeded network on the device to train on, and the description to save with it.

    `train.start` says which weights it starts from.
    """
    _check(setup, method, meta, with_teacher=True)
    channels = normalisation(setup.model, meta["channels"]) or statistics(train)
    description = _description(setup, method, meta, channels, digest(identity(setup, method, meta)))
    torch.manual_seed(setup.train.seed)
    network = description.build()
    if setup.train.start == BASELINE:
        load_pretrained(network.backbone, baseline_file("train.start"), setup.model.stem, "train.start")
    elif setup.model.weights is not None:
        untrained = load_pretrained(
            network.backbone, find_weights(setup.model.weights, "model.weights"), setup.model.stem
        )
        print(f"loaded {setup.model.weights}; layers without pretrained weights: {', '.join(untrained) or 'none'}")
        if difference := describe_other_images(setup.model, meta["size"]):
            print(difference)
    _check_precision(network, setup, meta)
    network.to(device=pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    return network, description


def check_network(setup: Setup, method: MethodParams, meta: dict[str, Any], *, measured: Sequence[str] = ()) -> None:
    """Make the checks of `make_network` early, before another training that takes long.

    The teacher is not checked if the stage `baseline` has yet to train it.

    Args:
        setup: the setup of the later training.
        method: the method of the later training.
        meta: the metadata of the data.
        measured: layers of `features.layers`, which are measured after the training.

    Raises:
        FctError: the method does not fit the network, its teacher does not fit network or data, or a name in `measured`
            is not a layer.
    """
    _check(setup, method, meta, with_teacher=method.teacher != BASELINE)
    ones = [1.0] * meta["channels"]
    network = _description(setup, method, meta, Statistics(ones, ones), params_digest="").build()
    network.watch(measured, key="features.layers")
    _check_precision(network, setup, meta)
    freeze(network.backbone, setup.train.freeze)
    check_optimiser(setup.train)
    resolve_precision(setup.train.precision, pick_device())


def _check(setup: Setup, method: MethodParams, meta: dict[str, Any], *, with_teacher: bool) -> None:
    check_sync(setup.train, pick_device())
    check_crops(setup.train, method)
    check_size(setup.train, meta["size"])
    if with_teacher and method.needs_teacher_file:
        check_teacher(method, setup.model, meta)


def _check_precision(network: Network, setup: Setup, meta: dict[str, Any]) -> None:
    if pick_device().type == "cpu":
        image = torch.zeros(1, meta["channels"], meta["size"], meta["size"], dtype=torch.uint8)
        check_narrow(network, setup.train.precision, image)


def _description(
    setup: Setup, method: MethodParams, meta: dict[str, Any], channels: Statistics, params_digest: str
) -> Description:
    return Description(
        backbone=setup.model.name,
        width=setup.model.width,
        stem=setup.model.stem,
        flip_tta=setup.model.flip_tta,
        classes=meta["classes"],
        channels=meta["channels"],
        size=meta["size"],
        mean=channels.mean,
        std=channels.std,
        layers=method.layers if method.uses_features else [],
        block=method.block if method.name in WITH_BLOCKS else None,
        qualities=list(setup.qualities),
        data_digest=meta["digest"],
        params_digest=params_digest,
        precision=setup.train.precision,
    )


def check_crops(train: TrainParams, method: MethodParams, key: str = "method.target") -> None:
    """Check that features that are compared position by position come from the same crop.

    Raises:
        FctError: `train.crops` is own, and the target, which `key` names, does not see the crop of the compressed view.
    """
    by_position = method.name in WITH_CONSISTENCY and method.projection != "mean"
    if train.crops == "own" and by_position and not (method.needs_teacher_file or method.needs_ema_teacher):
        raise FctError(
            f"{location(key)}: {method.target} compares features with those of the raw view, but train.crops: own "
            "gives that view another crop. Set method.target to teacher or ema-teacher, method.projection to mean, or "
            "train.crops to shared."
        )


def check_sync(train: TrainParams, device: torch.device) -> None:
    """Check that batch norms can be synchronised, if they shall be.

    Raises:
        FctError: `train.sync_batch_norm` is on, and `device` is not a GPU.
    """
    if train.sync_batch_norm and device.type != "cuda":
        raise FctError(
            f"{location('train.sync_batch_norm')}: true needs a GPU for each process, and there is none here. Set it "
            "to false: then each process has the batch statistics of its own images."
        )


def check_size(train: TrainParams, size: int) -> None:
    """Check that padding and cutout are smaller than the images, of `size` pixels.

    Raises:
        FctError: padding or cutout is as large as the image.
    """
    for key, pixels in (("crop_padding", train.crop_padding), ("cutout", train.cutout)):
        if pixels >= size:
            raise FctError(
                f"{location(f'train.{key}')}: {pixels} pixels are too many for images of {size}. Set it below {size}."
            )


def statistics(train: Split) -> Statistics:
    """Return mean and standard deviation of each channel, from a sample of the training images."""
    images = train.every(train.step(STATISTICS_IMAGES)).images
    channels = images.shape[-1]
    sums, squares = np.zeros((2, channels))
    for start in range(0, len(images), STATISTICS_CHUNK):
        pixels = images[start : start + STATISTICS_CHUNK].reshape(-1, channels).astype(np.float64) / 255
        sums += pixels.sum(0)
        squares += np.square(pixels).sum(0)
        drop_pages(images)
    count = images.size // channels
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return Statistics(mean.round(4).tolist(), np.maximum(deviation, 1e-3).round(4).tolist())
