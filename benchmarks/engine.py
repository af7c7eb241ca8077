"""What a build of caches costs: all qualities of a shard at once, and on threads or a Ray cluster of this machine.

    python -m benchmarks.engine             # writes benchmarks/results/engine.json; minutes
    python -m benchmarks.engine --images 64 # quicker

Photographs are crops of scikit-learn's two, 500 pixels a side; views have 224 pixels.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from fct.cache.build import build_cache
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.paths import CACHE, ORIGINALS, SPLITS
from fct.data import folder
from fct.data.params import DataParams
from fct.engine.params import ComputeParams, read_compute
from fct.splits.store import open_split
from fct.splits.views import compress_chunks

RESULTS = Path("benchmarks/results/engine.json")
QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
SIDE, PIXELS = 500, 224
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    images = parser.parse_args().images
    results, compute = Path.cwd() / RESULTS, read_compute()
    with tempfile.TemporaryDirectory() as here, chdir(here):
        _make_splits(images)
        rows = {"decode once": _decode_once(), "engines": _engines(compute)}
    rows["machine"] = {
        "cores": joblib.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    write_json(results, rows)
    print(results.read_text())


def _make_splits(count: int) -> None:
    from sklearn.datasets import load_sample_images

    rng, sources = np.random.default_rng(0), [Image.fromarray(image) for image in load_sample_images().images]
    for number in range(count):
        source, side = sources[number % 2], int(rng.integers(300, 427))
        left, top = (int(rng.integers(0, length - side + 1)) for length in source.size)
        path = Path("images", "ab"[number % 2], f"{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        crop = source.crop((left, top, left + side, top + side))
        crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=92)
    params = DataParams.model_validate(
        {"source": "folder", "mirror": None, "seed": 0, "fractions": {"val": 0.05, "gate": 0.05, "test": 0.1}}
        | {"folder": {"path": "images", "pixels": PIXELS, "keep": 1.0, "channels": 3, "on_error": "fail"}}
    )
    for path in (SPLITS, ORIGINALS):
        path.mkdir(parents=True)
    folder.build(params, SPLITS, ORIGINALS)


def _decode_once() -> dict[str, object]:
    """Measure the CPU time of nine qualities in one pass, and of a pass for each: a busy machine changes it little."""
    train = open_split("train").every(4)

    def together() -> None:
        for _ in compress_chunks(train, QUALITIES, "4:2:0"):
            pass

    def apart() -> None:
        for quality in QUALITIES:
            for _ in compress_chunks(train, [quality], "4:2:0"):
                pass

    together()  # compiles
    one, nine = ([_time(run, time.process_time) for _ in range(ROUNDS)] for run in (together, apart))
    return {
        "images": len(train),
        "qualities": len(QUALITIES),
        "CPU seconds in one pass": round(statistics.median(one), 2),
        "CPU seconds in a pass for each": round(statistics.median(nine), 2),
    }


def _engines(params: ComputeParams) -> dict[str, object]:
    """Time the build of all qualities, in shards of 4 MiB, on each engine."""
    rows: dict[str, object] = {}
    for engine in ("local", "ray"):
        shutil.rmtree(CACHE, ignore_errors=True)
        shutil.rmtree(".fct", ignore_errors=True)
        compute = params.model_copy(update={"engine": engine, "address": "local"})
        seconds = _time(lambda compute=compute: _build(compute))  # type: ignore[misc]
        shards = len(list(Path(".fct/cache-build").glob("*/q20/*"))) * len(QUALITIES)
        rows[engine] = {"shards": shards, "seconds": round(seconds, 1), "shards/s": round(shards / seconds, 2)}
    return rows


def _build(compute: ComputeParams) -> None:
    build_cache(QUALITIES[0], "4:2:0", source_digest="", shard_mib=4, ahead=QUALITIES, compute=compute)


def _time(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    begun = clock()
    run()
    return clock() - begun


if __name__ == "__main__":
    with exit_on_error():
        main()
