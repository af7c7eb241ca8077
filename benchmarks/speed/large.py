"""How much memory many large images take: in the data stage, the cache, an epoch of batches, and validation.

    python -m benchmarks.speed.large                      # 2,000 and 8,000 images
    python -m benchmarks.speed.large --images 100000      # needs some 60 GB of disk in $TMPDIR

The images are JPEGs of 300 x 260 pixels, made from two photographs, and trained on at 224. What counts is the resident
memory of the process and of all that it starts, looked at twenty times a second; pages of files that are mapped count.
A training step comes on top: it takes what its network and batch size take, however many images there are.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import psutil
from PIL import Image

from benchmarks.speed.__main__ import keep
from benchmarks.speed.measure import Row, photographs

SIZE, NATIVE = 224, (300, 260)  # pixels
QUALITY = 30
CHUNK = 500  # images that a process makes at a time


@click.command()
@click.option("--images", "counts", type=int, multiple=True, default=(2_000, 8_000), help="How many; may be repeated.")
@click.option("--run", "folder", hidden=True, help="Do the work, in a folder of images.")
def main(counts: tuple[int, ...], folder: str | None) -> None:
    """Measure each number of images in a process of its own."""
    if folder:
        _run(folder)
        return
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as here:
            with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
                list(pool.map(_make, *zip(*((here, start, count) for start in range(0, count, CHUNK)), strict=True)))
            begun = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.speed.large", "--run", here])
            peak = _watch(process)
            if process.returncode:
                raise SystemExit(f"it ended with status {process.returncode}")
            us = (time.perf_counter() - begun) / count * 1e6
        subject, note = f"{count:,} images", f"{peak / 2**20:,.0f} MiB at the peak"
        rows.append(Row("data, cache of one quality, batches, validation", subject, SIZE, round(us), 0, 2, note))
        print(subject, note, f"{us:,.0f} us an image", flush=True)
    keep("large", rows)


def _make(folder: str, start: int, count: int) -> None:
    """Write images from number `start` on into two classes."""
    pieces = photographs(64, max(NATIVE))[:, : NATIVE[1], : NATIVE[0]]
    rng = np.random.default_rng(start)
    for number in range(start, min(start + CHUNK, count)):
        image = pieces[number % len(pieces)].copy()
        image[:8, :8] = rng.integers(0, 256, (8, 8, 3))  # no two are the same
        place = Path(folder) / "images" / ("even", "odd")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=92)
        (place / f"{number:06}.jpg").write_bytes(buffer.getvalue())


def _run(folder: str) -> None:
    """Do what the stages do."""
    import torch

    from fct.cache import store
    from fct.cache.build import build_cache
    from fct.data import folder as source
    from fct.data.params import DataParams
    from fct.models.backbones import build_backbone
    from fct.models.device import pick_device
    from fct.models.network import Network
    from fct.splits.store import open_split
    from fct.train.assemble import statistics
    from fct.train.batches import Cached, epoch
    from fct.train.crop import Augmentation
    from fct.train.precision import resolve_precision
    from fct.train.validation import validate

    os.chdir(folder)
    params = DataParams.model_validate(
        {"source": "folder", "mirror": None, "seed": 0, "fractions": {"val": 0.05, "gate": 0.05, "test": 0.1}}
        | {"folder": {"path": "images", "pixels": SIZE, "keep": 1.0, "channels": 3, "on_error": "fail"}}
    )
    for name in ("splits", "originals"):
        Path("data", name).mkdir(parents=True)
    source.build(params, Path("data/splits"), Path("data/originals"))
    splits = [open_split(name) for name in store.SPLITS]
    build_cache(QUALITY, "4:2:0", source_digest="", shard_mib=256)
    train = splits[0]
    views = store.open_views(train, [QUALITY], "4:2:0", source_digest="")
    rng = np.random.default_rng(0)
    batches = epoch(
        train, Cached(views), Augmentation(8, flip=True), batch_size=128, rng=rng, device=torch.device("cpu")
    )
    for _ in batches:
        pass
    statistics(train)
    network = Network(
        build_backbone("resnet8", width=8, classes=2, channels=3, size=train.images.shape[1]),
        mean=[0.5] * 3,
        std=[0.25] * 3,
        layers=["stage1"],
    )
    val_views = store.open_views(splits[1], [QUALITY], "4:2:0", source_digest="")
    validate(network, splits[1], val_views, precision=resolve_precision("auto", pick_device()))


def _watch(process: subprocess.Popen[bytes]) -> int:
    """Return the most bytes that a process and its children have in memory until it ends."""
    peak = 0
    while process.poll() is None:
        try:
            here = psutil.Process(process.pid)
            peak = max(peak, sum(each.memory_info().rss for each in [here, *here.children(recursive=True)]))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.05)
    return peak


if __name__ == "__main__":
    main()
