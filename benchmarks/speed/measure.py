"""Timing side by side, and the rows that come of it."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDS = 7
ROUND = 0.15  # seconds that a subject works in each round, at least


class Row(NamedTuple):
    """What one subject took for one kind of work."""

    work: str  # what was done, in what order of magnitude
    subject: str  # by whom
    size: int  # pixels, height and width
    us: float  # microseconds an image
    ratio: float  # how many times faster than the reference, the median over rounds
    threads: int
    note: str = ""


def compare(
    work: str, size: int, subjects: Mapping[str, Callable[[], object]], images: Mapping[str, int], *, threads: int = 1
) -> list[Row]:
    """Time subjects in turn, round after round, so that a machine whose speed drifts drifts for all of them.

    Args:
        work: what they do.
        size: pixels, height and width, of what they do it to.
        subjects: by name; the first is the reference of the ratios.
        images: how many each handles in one call.
        threads: that each may use.
    """
    repeats: dict[str, int] = {}
    for name, run in subjects.items():
        run()  # imports, compilation, buffers
        begun = time.perf_counter()
        run()
        repeats[name] = max(1, round(ROUND / (time.perf_counter() - begun)))
    rounds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, run in subjects.items():
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                run()
            rounds[name].append((time.perf_counter() - begun) / repeats[name] / images[name] * 1e6)
    reference = rounds[next(iter(subjects))]
    return [
        Row(
            work,
            name,
            size,
            round(statistics.median(times), 3),
            round(statistics.median(base / own for base, own in zip(reference, times, strict=True)), 3),
            threads,
        )
        for name, times in rounds.items()
    ]


def machine() -> str:
    """Name the processor, the number of cores and what was installed."""
    import os

    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "")
    wide = next((kind for kind in ("avx512bw", "avx2", "asimd") if kind in info), "")
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{model or platform.machine()}, {os.cpu_count()} shared cores, {wide}{gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def photographs(count: int, size: int) -> NDArray[np.uint8]:
    """Return square pieces of two photographs that scikit-learn ships, uint8 [count, size, size, 3]."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    pictures = load_sample_images().images
    pieces = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        top, left = (rng.integers(0, side - size + 1) for side in picture.shape[:2])
        pieces.append(picture[top : top + size, left : left + size])
    return np.stack(pieces)
