"""From params and the files on disk to a network and its data: shared by training, search and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from fct.cache.params import CacheParams
from fct.cache.store import open_views
from fct.core.errors import FctError
from fct.core.files import digest, sha256
from fct.jpeg.arrays import VERSION
from fct.methods.params import WITH_CONSISTENCY, MethodParams
from fct.methods.registry import WITH_BLOCKS
from fct.models.device import pick_device
from fct.models.network import Network
from fct.models.params import ModelParams
from fct.models.saved import Description
from fct.models.weights import find_weights, load_pretrained
from fct.splits.params import JpegParams
from fct.splits.store import Split, drop_pages, open_split, read_meta
from fct.train.aids import OF_PIPELINE, check_teacher, teacher_file
from fct.train.loop import Data
from fct.train.params import TrainParams
from fct.train.precision import resolve_precision
from fct.train.sources import choose_source

STATISTICS_FROM = 5_000  # images, evenly spread, that the channels' mean and deviation are taken from
STATISTICS_AT_ONCE = 64  # images in memory


class Setup(NamedTuple):
    """What decides a training, but for the method."""

    qualities: tuple[int, ...]  # trained
    subsampling: str
    model: ModelParams
    train: TrainParams  # its precision is fp32 or bf16

    @classmethod
    def of(cls, cache: CacheParams, jpeg: JpegParams, model: ModelParams, train: TrainParams) -> Setup:
        """Return the setup that sections of params.yaml describe, with the precision that "auto" means here."""
        precision = resolve_precision(train.precision, pick_device())
        known = train.model_copy(update={"precision": precision})
        return cls(tuple(cache.qualities), jpeg.subsampling, model, known)


class Statistics(NamedTuple):
    """Of each channel of the training images, on the scale 0..1."""

    mean: list[float]
    std: list[float]


def open_data(setup: Setup) -> tuple[Data, dict[str, Any]]:
    """Open splits and caches, checking every manifest; return them and the splits' meta.

    To the meta are added the caches' codec and the order of cropping and compressing.
    """
    meta = read_meta()
    train, val = open_split("train"), open_split("val")

    def views(split: Split) -> dict[int, np.ndarray[Any, np.dtype[np.uint8]]]:
        return open_views(split, setup.qualities, setup.subsampling, source_digest=meta["digest"])

    source = choose_source(
        setup.train.views, train, lambda: views(train), setup.qualities, setup.subsampling, pick_device()
    )
    return Data(train, source, val, views(val)), meta | {"codec": VERSION, "order": source.order}


def identity(setup: Setup, method: MethodParams, meta: dict[str, Any]) -> dict[str, Any]:
    """Return all that decides the weights of a training, but for code: what its checkpoint is known by."""
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
    }


def make_network(setup: Setup, method: MethodParams, train: Split, meta: dict[str, Any]) -> tuple[Network, Description]:
    """Return an untrained network, seeded, on the device to train on, and the description it is saved with."""
    _check(setup, method, meta, with_teacher=True)
    description = _description(setup, method, meta, statistics(train), digest(identity(setup, method, meta)))
    torch.manual_seed(setup.train.seed)
    network = description.build()
    if setup.model.weights is not None:
        untrained = load_pretrained(
            network.backbone, find_weights(setup.model.weights, "model.weights"), setup.model.stem
        )
        print(f"starts from {setup.model.weights}; untrained: {', '.join(untrained) or 'nothing'}")
    network.to(device=pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    return network, description


def check_network(setup: Setup, method: MethodParams, meta: dict[str, Any], *, measured: Sequence[str] = ()) -> None:
    """Refuse what `make_network` would, but for a teacher that is not there yet: before another training, not after.

    Args:
        setup: what `method` is trained with.
        method: of the training to come.
        meta: of the data.
        measured: `features.layers`, which are looked at when all is trained.

    Raises:
        FctError: the method does not fit the network, its teacher does not fit network or data, or no layer has one of
            the names of `measured`.
    """
    _check(setup, method, meta, with_teacher=method.teacher != OF_PIPELINE)
    plain = [1.0] * meta["channels"]
    network = _description(setup, method, meta, Statistics(plain, plain), known="").build()
    network.watch(measured, key="features.layers")


def _check(setup: Setup, method: MethodParams, meta: dict[str, Any], *, with_teacher: bool) -> None:
    check_crops(setup.train, method)
    check_size(setup.train, meta["size"])
    if with_teacher and method.needs_teacher_file:
        check_teacher(method, setup.model, meta)


def _description(
    setup: Setup, method: MethodParams, meta: dict[str, Any], channels: Statistics, known: str
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
        params_digest=known,
        precision=setup.train.precision,
    )


def check_crops(train: TrainParams, method: MethodParams, key: str = "method.target") -> None:
    """Refuse to compare, position by position, features of views that were cropped apart.

    Raises:
        FctError: `train.crops` is own, and `method.target`, read from `key`, sees none of the compressed view's crop.
    """
    by_position = method.name in WITH_CONSISTENCY and method.projection != "mean"
    if train.crops == "own" and by_position and not (method.needs_teacher_file or method.needs_ema_teacher):
        raise FctError(
            f"params.yaml: {key}: {method.target} pulls features to those of the raw view, which train.crops: own "
            "crops elsewhere. Take teacher or ema-teacher, which see the compressed view's crop, "
            "or method.projection: mean, or train.crops: shared."
        )


def check_size(train: TrainParams, size: int) -> None:
    """Refuse what leaves nothing of images of `size` pixels.

    Raises:
        FctError: the border, or the blackened square, is as large as the image.
    """
    for key, pixels in (("crop_padding", train.crop_padding), ("cutout", train.cutout)):
        if pixels >= size:
            raise FctError(f"params.yaml: train.{key}: {pixels} pixels leave nothing of images of {size}.")


def statistics(train: Split) -> Statistics:
    """Return mean and standard deviation of each channel."""
    images = train.every(train.step(STATISTICS_FROM)).images
    channels = images.shape[-1]
    sums, squares = np.zeros((2, channels))
    for start in range(0, len(images), STATISTICS_AT_ONCE):
        pixels = images[start : start + STATISTICS_AT_ONCE].reshape(-1, channels).astype(np.float64) / 255
        sums += pixels.sum(0)
        squares += np.square(pixels).sum(0)
        drop_pages(images)
    count = images.size // channels
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return Statistics(mean.round(4).tolist(), np.maximum(deviation, 1e-3).round(4).tolist())
