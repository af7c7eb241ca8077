"""A step of paired training: as the loop takes it, on tensors that are in memory already, and by the plain script.

All take the same step of the method `fct` on 128 images of 32 pixels, each seen raw and compressed.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed.measure import Row, photographs
from benchmarks.speed.plain import BATCH, Plain
from fct.core import params
from fct.images.tables import UNKNOWN_QUALITY
from fct.models import backbones
from fct.models.device import pick_device
from fct.models.network import Network
from fct.search.__main__ import Params
from fct.splits.store import Split
from fct.splits.views import compress_split
from fct.train.batches import Cached, Online, Source
from fct.train.loop import Data, Training
from fct.train.precision import resolve_precision

NETWORKS = [("resnet8", 8), ("resnet8", 16), ("resnet20", 16)]
LAYERS = ["stage1", "stage2", "stage3"]
QUALITIES = (10, 30, 50, 70, 90)
IMAGES, SIZE = 8192, 32
ROUNDS, UNTIMED, TIMED = 5, 6, 16  # steps; workers of the plain script fill their queue while others are timed
PLAIN = "plain script, "
MEMORY = "tensors in memory"


def rows() -> list[Row]:
    """Measure the step of every network."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        split, source = data(Path(folder))
        for name, width in NETWORKS:
            found += _network(name, width, split, source)
    return found


def memory() -> list[Row]:
    """Measure the peak memory of a training's process, and of the plain script's with its workers."""
    with tempfile.TemporaryDirectory() as folder:
        return [_peak(subject, folder) for subject in (f"{PLAIN}v2.JPEG", "cache")]


def data(folder: Path) -> tuple[Split, Cached]:
    """Make a memory-mapped split and its cache, or open them."""
    path = folder / "images.npy"
    if not path.exists():
        np.save(path, np.resize(photographs(1024, SIZE), (IMAGES, SIZE, SIZE, 3)))
    images = np.load(path, mmap_mode="r")
    labels = np.random.default_rng(0).integers(0, 10, IMAGES)
    split = Split("train", images, labels, np.full(IMAGES, UNKNOWN_QUALITY), None)
    views = {}
    for quality in QUALITIES:
        place = folder / f"{quality}.npy"
        if not place.exists():
            np.save(place, compress_split(split, quality, "4:2:0"))
        views[quality] = np.load(place, mmap_mode="r")
    return split, Cached(views)


def _training(name: str, width: int, split: Split, source: Source, precision: str) -> Training:
    torch.manual_seed(0)
    backbone = backbones.build_backbone(name, width=width, classes=10, channels=3, size=32)
    network = Network(backbone, mean=[0.5] * 3, std=[0.25] * 3, layers=LAYERS)
    network.to(memory_format=torch.channels_last)
    network.train()
    defaults = params.load(Params)
    own = {"name": "fct", "layers": LAYERS, "target": "raw-detached", "matched_views": "compressed"}  # needs no teacher
    method = defaults.method.model_copy(update=own)
    schedule: dict[str, Any] = {"seed": 0, "epochs": 100, "batch_size": BATCH, "learning_rate": 0.1}
    schedule["precision"] = resolve_precision(precision, pick_device())
    return Training(network, Data(split, source, split, {}), method, defaults.train.model_copy(update=schedule))


def _steps(training: Training, *, fixed: bool = False) -> Iterator[None]:
    """Take a step each time."""
    batches = (batch for number in itertools.count() for batch in training.batches(number))
    if fixed:
        kept = list(itertools.islice(batches, 8))
        batches = itertools.cycle(kept)  # type: ignore[assignment]
    for batch in batches:
        training.step(batch)
        yield


def _plain_steps(name: str, width: int, split: Split, codec: str) -> Iterator[None]:
    torch.manual_seed(0)
    network = backbones.build_backbone(name, width=width, classes=10, channels=3, size=32)
    plain = Plain(network, LAYERS, np.array(split.images), split.labels, codec)
    for batch in plain.batches():
        plain.step(*batch)
        yield


def _network(name: str, width: int, split: Split, source: Cached) -> list[Row]:
    subjects: dict[str, Iterator[None]] = {
        f"{PLAIN}v2.JPEG": _plain_steps(name, width, split, "torchvision"),
        f"{PLAIN}Pillow": _plain_steps(name, width, split, "Pillow"),
        MEMORY: _steps(_training(name, width, split, source, "auto"), fixed=True),
        "cache": _steps(_training(name, width, split, source, "auto")),
        "online": _steps(_training(name, width, split, Online(QUALITIES, "4:2:0"), "auto")),
        "cache, fp32": _steps(_training(name, width, split, source, "fp32")),
    }
    rounds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for _ in range(ROUNDS):
        for subject, steps in subjects.items():
            for _ in itertools.islice(steps, UNTIMED):
                pass
            begun = time.perf_counter()
            for _ in itertools.islice(steps, TIMED):
                pass
            rounds[subject].append((time.perf_counter() - begun) / TIMED / BATCH * 1e6)
    plain, memory = rounds[f"{PLAIN}v2.JPEG"], rounds[MEMORY]
    found = []
    for subject, times in rounds.items():
        ratio = statistics.median(base / own for base, own in zip(plain, times, strict=True))
        waiting = 1 - statistics.median(base / own for base, own in zip(memory, times, strict=True))
        note = f"{waiting:.1%} of it in data" if subject in ("cache", "online") else ""
        row = Row(
            f"step of {name}, width {width}", subject, SIZE, round(statistics.median(times), 1), round(ratio, 3), 2
        )
        found.append(row._replace(note=note, threads=torch.get_num_threads()))
    return found


def _peak(subject: str, folder: str) -> Row:
    """Return a row whose note is the peak memory of a process that takes a few steps."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        mebibytes, us = pool.submit(_few_steps, subject, folder).result()
    return Row(
        "peak memory of a training", subject, SIZE, round(us, 1), 0, torch.get_num_threads(), f"{mebibytes:,.0f} MiB"
    )


def _few_steps(subject: str, folder: str) -> tuple[float, float]:
    split, source = data(Path(folder))
    name, width = NETWORKS[0]
    plain = subject.startswith(PLAIN)
    steps = (
        _plain_steps(name, width, split, "torchvision")
        if plain
        else _steps(_training(name, width, split, source, "auto"))
    )
    begun = time.perf_counter()
    for _ in itertools.islice(steps, 20):
        pass
    # Not ru_maxrss, which a process inherits from the one that started it.
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    if plain:
        import psutil

        own += sum(child.memory_info().rss for child in psutil.Process(os.getpid()).children()) / 2**20
    return own, (time.perf_counter() - begun) / 20 / BATCH * 1e6
