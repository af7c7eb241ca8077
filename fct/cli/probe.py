"""Measures how well a pretrained backbone tells the classes apart at each size, before anything is trained."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from fct.cli.backbone import build_named
from fct.core.errors import FctError
from fct.core.text import printable
from fct.data.scan import Scan, scan
from fct.images.decode import UnusableImage, decode, resize
from fct.jpeg.arrays import roundtrip
from fct.models.backbones import head_name
from fct.models.device import pick_device, to_device
from fct.models.normalisation import Statistics, normalisation, trained_size
from fct.models.params import ModelParams
from fct.models.weights import find_weights, load_pretrained

SIDES = (64, 96, 128, 160, 192, 224)  # pixels
LARGER = 1.5  # times the images' own size: this adds no detail, but many networks were trained on larger objects
IMAGES = 800  # to look at, as many of each class
CLASSES = 200  # of more, only so many are told apart: memory and time grow with the images
FEWEST = 2  # images of a class: one for each half
QUALITY = 10  # of the compressed images
BATCH = 50
DAMPING = 0.3  # of the classifier's weights; accuracies are nearly the same from 0.1 to 1
STEP_COST = 3  # a step of training takes as long as this many forward passes
# An epoch of the stage baseline has one view of each image. One of the stage train has two, and the teacher's views: it
# takes 1.2 times as long as two views alone (benchmarks/results/comparison/cost.json).
VIEWS = 1 + 2 * 1.2
NEAR_ALL = 0.98  # accuracy to which training cannot add some points


class Probed(NamedTuple):
    """The accuracy of a linear classifier on the backbone's last features at one size, and the cost of training."""

    side: int  # pixels
    images: int  # that were looked at
    raw: float  # accuracy
    compressed: float  # accuracy on the same images at quality 10, which the classifier was not fitted to
    hours: float  # that the stages baseline and train take on this machine, on its GPU if it has one
    chance: float  # accuracy of the answer that is always the largest class


class _Sample(NamedTuple):
    """Some images of a folder, at each size that is tried."""

    raw: dict[int, NDArray[np.uint8]]  # [N, side, side, C] by side
    compressed: dict[int, NDArray[np.uint8]]
    labels: NDArray[np.int64]  # [N], from 0 on


def probe(folder: Path, model: ModelParams, largest: int, channels: int, epochs: int) -> Iterator[Probed]:
    """Yield what the backbone reaches at each of `SIDES` that it takes.

    A linear classifier is fitted to one half of up to 800 raw images and tried on the other half, and vice versa.
    Images are compressed at their own size, then scaled, as in a deployment. Of more than 200 classes, 200 are tried.

    Args:
        folder: the folder of the images.
        model: the backbone and its weights.
        largest: size in pixels above which nothing is tried, except for the smallest size.
        channels: the number of channels of the images, 1 or 3.
        epochs: of each training.

    Raises:
        FctError: too few images of a class can be used, or the weights do not fit the backbone.
    """
    sides = _sides(model, largest, channels)
    statistics = normalisation(model, channels) or Statistics([0.0] * channels, [1.0] * channels)
    listing = scan(folder)
    sample = _read_sample(folder, listing, sides, channels)
    count = len(sample.labels)
    with tqdm(total=2 * len(sides) * count, desc="probe", unit="image", disable=None, leave=False) as bar:
        for side in sides:
            backbone = _with_weights(model, side, channels).to(pick_device())
            _features(backbone, sample.raw[side][:1], statistics)  # a GPU's first call loads its libraries
            begin = time.perf_counter()
            raw = _features(backbone, sample.raw[side], statistics, bar.update)
            seconds = (time.perf_counter() - begin) / count
            compressed = _features(backbone, sample.compressed[side], statistics, bar.update)
            yield Probed(
                side,
                count,
                _accuracy(raw, raw, sample.labels),
                _accuracy(raw, compressed, sample.labels),
                hours=VIEWS * epochs * STEP_COST * seconds * len(listing.files) / 3600,
                chance=float(np.bincount(sample.labels).max() / count),
            )


def _sides(model: ModelParams, largest: int, channels: int) -> list[int]:
    """Return those of `SIDES` that the backbone with its weights takes, or else the size of its weights.

    Each backbone is made again when its size is tried: all of them together could fill the memory.

    Raises:
        FctError: the backbone takes none of these sizes.
    """
    sides = [side for side in SIDES if side <= max(largest, SIDES[0]) and _takes(model, side, channels)]
    if not sides:
        sides = [trained_size(model) or SIDES[0]]
        _with_weights(model, sides[0], channels)
    return sides


def _takes(model: ModelParams, side: int, channels: int) -> bool:
    try:
        _with_weights(model, side, channels)
    except FctError:
        return False
    return True


def _with_weights(model: ModelParams, side: int, channels: int) -> nn.Module:
    with redirect_stdout(io.StringIO()):  # the stage baseline prints the same again
        backbone = build_named(model.name, "--model", classes=2, channels=channels, size=side)
        load_pretrained(backbone, find_weights(str(model.weights), "model.weights"), model.stem)
    return backbone.eval()


def _read_sample(folder: Path, listing: Scan, sides: Sequence[int], channels: int) -> _Sample:
    """Return up to `IMAGES` images, as many of each class as far as it has them.

    Raises:
        FctError: too few of a class can be used.
    """
    classes = _spread(range(len(listing.classes)), CLASSES)
    members = [_spread(np.flatnonzero(np.equal(listing.labels, label)), IMAGES // len(classes)) for label in classes]
    files = [listing.files[index] for each in members for index in each]
    labels = np.repeat(np.arange(len(classes)), [len(each) for each in members])
    raw, compressed = (
        {side: np.empty((len(files), side, side, channels), np.uint8) for side in sides} for _ in range(2)
    )

    def read(index: int) -> bool:
        try:
            native = decode((folder / files[index]).read_bytes(), channels)
        except (UnusableImage, OSError):
            return False  # the stage data says what is wrong with a file
        distorted = roundtrip(native[None], QUALITY, "4:2:0")[0]
        for side in sides:
            raw[side][index], compressed[side][index] = resize(native, side), resize(distorted, side)
        return True

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        read_all = pool.map(read, range(len(files)))
        bar = tqdm(read_all, total=len(files), desc="images", unit="image", disable=None, leave=False)
        usable = np.array(list(bar))
    for label, index in enumerate(classes):
        if (count := int(usable[labels == label].sum())) < FEWEST:
            raise FctError(
                f"{folder}: {count} of {len(members[label])} files that were looked at in the class "
                f"{printable(listing.classes[index])} can be used, which is too few for a trial. Repair them, or add "
                "images."
            )
    return _Sample(
        {side: images[usable] for side, images in raw.items()},
        {side: images[usable] for side, images in compressed.items()},
        labels[usable],
    )


def _spread(items: Sequence[int] | NDArray[np.int64], count: int) -> list[int]:
    """Return `count` of the items, evenly spread, or all if there are fewer."""
    count = min(count, len(items))
    return [int(items[index * len(items) // count]) for index in range(count)]


@torch.inference_mode()
def _features(
    backbone: nn.Module,
    images: NDArray[np.uint8],
    statistics: Statistics,
    advance: Callable[[int], object] = lambda _: None,
) -> NDArray[np.float64]:
    """Return the input of the backbone's last linear layer for each image, [N, D]."""
    inputs: list[Tensor] = []
    head = backbone.get_submodule(head_name(backbone))
    hook = head.register_forward_pre_hook(lambda _module, arguments: inputs.append(arguments[0].flatten(1).cpu()))
    device = next(backbone.parameters()).device
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in statistics)
    for start in range(0, len(images), BATCH):
        pixels = to_device(images[start : start + BATCH], device)
        backbone((pixels.float() / 255 - mean) / std)
        advance(len(pixels))
    hook.remove()
    return torch.cat(inputs).double().numpy()


def _accuracy(known: NDArray[np.float64], unknown: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the accuracy on `unknown`, [N, D], of a ridge classifier that is fitted to the other half of `known`.

    Rows of both belong to the same images, in the order of their labels. Each half takes every other row, so each half
    has all classes.
    """
    right = []
    for half in (0, 1):
        fitted, tried = slice(half, None, 2), slice(1 - half, None, 2)
        mean, std = known[fitted].mean(0), known[fitted].std(0) + 1e-6
        a, b = ((rows - mean) / std / np.sqrt(known.shape[1]) for rows in (known[fitted], unknown[tried]))
        targets = np.eye(labels.max() + 1)[labels[fitted]]
        share = targets.mean(0)
        dual = np.linalg.solve(a @ a.T + DAMPING * np.eye(len(a)), targets - share)
        right.append((b @ a.T @ dual + share).argmax(1) == labels[tried])
    return float(np.concatenate(right).mean())


def choose(probed: Sequence[Probed], hours: float = math.inf) -> Probed:
    """Return the smallest size that is as accurate as the best, within two standard errors of an accuracy.

    Args:
        probed: one or more sizes.
        hours: that the trainings may take. If they take longer at every size, it is the smallest size.
    """
    possible = [each for each in probed if each.hours <= hours] or [min(probed, key=lambda each: each.side)]
    best = max(possible, key=lambda each: each.raw)
    within = 2 * math.sqrt(best.raw * (1 - best.raw) / best.images)
    return min((each for each in possible if each.raw >= best.raw - within), key=lambda each: each.side)


def format_probed(probed: Sequence[Probed]) -> str:
    """Return a table with one line per size."""
    lines = [f"{'pixels':>6}  {'raw':>6}  {f'quality {QUALITY}':>10}  baseline and train take about"]
    lines += [f"{each.side:6}  {each.raw:6.1%}  {each.compressed:10.1%}  {_spell(each.hours)}" for each in probed]
    return "\n".join(lines)


def _spell(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def describe(chosen: Probed, ideal: Probed) -> str:
    """Return in words what to expect of a training at the chosen size, and at the size without a limit of time."""
    more = (
        f" {ideal.side} pixels would start from {ideal.raw:.0%}, but take {_spell(ideal.hours)}: see --hours."
        if ideal.side > chosen.side
        else ""
    )
    if chosen.raw <= chosen.chance + 2 * math.sqrt(chosen.chance * (1 - chosen.chance) / chosen.images):
        return (
            f"At {chosen.side} pixels the backbone is no better than chance: {chosen.raw:.0%} on raw images, where the "
            f"largest class is {chosen.chance:.0%} of them. Check that the file has trained weights of this backbone. "
            "If they were trained with another normalisation than `fct weights` shows, set model.normalisation in "
            f"params.yaml.{more}"
        )
    cost = 100 * (chosen.raw - chosen.compressed)
    error = 100 * math.sqrt(2 * chosen.raw * (1 - chosen.raw) / chosen.images)
    little = "" if cost > 2 * error else " That is within chance: robustness has little to gain here."
    gain = (
        f" Training usually adds some points to the {chosen.raw:.0%} on raw images. Where that is too little, use more "
        "or sharper images, or another backbone."
        if chosen.raw <= NEAR_ALL
        else ""
    )
    return f"At {chosen.side} pixels quality {QUALITY} costs {cost:.1f} points.{little}{gain}{more}"
