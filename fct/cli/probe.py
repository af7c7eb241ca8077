"""Measures how well a pretrained backbone tells the classes apart at each size, before anything is trained."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from fct.cli.backbone import build_named
from fct.core.errors import FctError
from fct.data.scan import scan
from fct.images.decode import UnusableImage, decode, resize
from fct.jpeg.arrays import roundtrip
from fct.models.backbones import head_name
from fct.models.normalisation import Statistics, normalisation, trained_size
from fct.models.params import ModelParams
from fct.models.weights import find_weights, load_pretrained

SIDES = (64, 96, 128, 160, 192, 224)  # pixels
LARGER = 1.5  # times the images' own size: this adds no detail, but many networks were trained on larger objects
IMAGES = 800  # to look at, evenly spread over the classes
QUALITY = 10  # of the compressed images
BATCH = 50
DAMPING = 0.3  # of the classifier's weights; accuracies are nearly the same from 0.1 to 1
STEP_COST = 3  # a step of training takes as long as this many forward passes
# An epoch of the stage baseline has one view of each image. One of the stage train has two, and the teacher's views: it
# takes 1.2 times as long as two views alone (benchmarks/results/comparison/cost.json).
VIEWS = 1 + 2 * 1.2


class Probed(NamedTuple):
    """The accuracy of a linear classifier on the backbone's last features at one size, and the cost of training."""

    side: int  # pixels
    images: int  # that were looked at
    raw: float  # accuracy
    compressed: float  # accuracy on the same images at quality 10, which the classifier was not fitted to
    hours: float  # that the stages baseline and train take on this machine


def probe(folder: Path, model: ModelParams, largest: int, channels: int, epochs: int) -> Iterator[Probed]:
    """Yield what the backbone reaches at each of `SIDES` that it takes.

    A linear classifier is fitted to one half of a few hundred raw images and tried on the other half, and vice versa.
    Images are compressed at their own size, then scaled, as in a deployment.

    Args:
        folder: the folder of the images.
        model: the backbone and its weights.
        largest: size in pixels above which nothing is tried, except for the smallest size.
        channels: the number of channels of the images, 1 or 3.
        epochs: of each training.

    Raises:
        FctError: too few images can be used.
    """
    images, labels, total = _sample(folder, channels)
    compressed = [roundtrip(image[None], QUALITY, "4:2:0")[0] for image in images]
    statistics = normalisation(model, channels) or Statistics([0.0] * channels, [1.0] * channels)
    backbones = _backbones(model, largest, channels)
    with tqdm(total=2 * len(backbones) * len(images), desc="probe", unit="image", disable=None, leave=False) as bar:
        for side, backbone in backbones:
            begin = time.perf_counter()
            raw = _features(backbone, [resize(image, side) for image in images], statistics, bar.update)
            seconds = (time.perf_counter() - begin) / len(images)
            distorted = _features(backbone, [resize(image, side) for image in compressed], statistics, bar.update)
            accuracy = _accuracy(raw, raw, labels), _accuracy(raw, distorted, labels)
            yield Probed(side, len(images), *accuracy, hours=VIEWS * epochs * STEP_COST * seconds * total / 3600)


def _backbones(model: ModelParams, largest: int, channels: int) -> list[tuple[int, nn.Module]]:
    """Return the backbone with its weights at each size that it takes, or else at the size of its weights.

    Raises:
        FctError: the backbone takes none of these sizes.
    """
    backbones: list[tuple[int, nn.Module]] = []
    for side in SIDES:
        if side <= max(largest, SIDES[0]):
            with suppress(FctError):  # it does not take this size
                backbones.append((side, _with_weights(model, side, channels)))
    if not backbones:
        side = trained_size(model) or SIDES[0]
        backbones.append((side, _with_weights(model, side, channels)))
    return backbones


def _with_weights(model: ModelParams, side: int, channels: int) -> nn.Module:
    with redirect_stdout(io.StringIO()):  # the stage baseline prints the same again
        backbone = build_named(model.name, "--model", classes=2, channels=channels, size=side)
        load_pretrained(backbone, find_weights(str(model.weights), "model.weights"), model.stem)
    return backbone.eval()


def _sample(folder: Path, channels: int) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64], int]:
    """Return some images at their own size, their labels, and the number of all files."""
    listing = scan(folder)
    step = max(1, len(listing.files) // IMAGES)
    images, labels = [], []
    for name, label in zip(listing.files[::step], listing.labels[::step], strict=True):
        with suppress(UnusableImage, OSError):  # the stage data says what is wrong with a file
            images.append(decode((folder / name).read_bytes(), channels))
            labels.append(label)
    if len(images) < 2 * len(listing.classes):
        usable = f"{len(images)} of {len(listing.files)} files"
        raise FctError(f"{folder}: {usable} can be used, which is too few for a trial. Add images.")
    return images, np.array(labels), len(listing.files)


@torch.inference_mode()
def _features(
    backbone: nn.Module, images: list[NDArray[np.uint8]], statistics: Statistics, advance: Callable[[int], object]
) -> NDArray[np.float64]:
    """Return the input of the backbone's last linear layer for each image, [N, D]."""
    inputs: list[Tensor] = []
    head = backbone.get_submodule(head_name(backbone))
    hook = head.register_forward_pre_hook(lambda _module, arguments: inputs.append(arguments[0].flatten(1)))
    mean, std = map(torch.tensor, statistics)
    for start in range(0, len(images), BATCH):
        pixels = torch.from_numpy(np.stack(images[start : start + BATCH]).astype(np.float32) / 255)
        backbone(((pixels - mean) / std).permute(0, 3, 1, 2))
        advance(len(pixels))
    hook.remove()
    return torch.cat(inputs).double().numpy()


def _accuracy(known: NDArray[np.float64], unknown: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the accuracy on `unknown`, [N, D], of a ridge classifier that is fitted to the other half of `known`.

    Rows of both belong to the same images. Each half takes every other row, so each half has all classes.
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
    cost = 100 * (chosen.raw - chosen.compressed)
    error = 100 * math.sqrt(2 * chosen.raw * (1 - chosen.raw) / chosen.images)
    little = "" if cost > 2 * error else " That is within chance: robustness has little to gain here."
    more = (
        f" {ideal.side} pixels would start from {ideal.raw:.0%}, but take {_spell(ideal.hours)}: see --hours."
        if ideal.side > chosen.side
        else ""
    )
    return (
        f"At {chosen.side} pixels quality {QUALITY} costs {cost:.1f} points.{little} Training usually adds some points "
        f"to the {chosen.raw:.0%} on raw images. Where that is too little, use more or sharper images, or another "
        f"backbone.{more}"
    )
