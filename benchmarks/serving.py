"""What judging and serving cost: `python -m benchmarks.serving`.

An untrained ResNet-20 of width 16 (what it says is of no account, how long it takes is) and random images of 32 pixels:

- the sweep of the gate: 10,000 images, raw and at 20 qualities, compressed and classified;
- the same with the distortions of deployments, all at once, on all 10,000 images and on 1,000 of them;
- `fct predict`: images a second, from the bytes of JPEG files to probabilities;
- the same with counters (fct.serving.counters), in turn with those without: processor time, which other programs on the
  machine disturb little;
- the 8-bit form against the file: milliseconds an image in batches, and bytes;
- `fct predict` on eight of the largest images that are decoded, RGB and RGBA: memory at the peak, of the process.

Results go to benchmarks/results/serving.json with the machine's name.
"""

from __future__ import annotations

import io
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image

from fct.core.errors import exit_on_error
from fct.core.files import sha256, write_json
from fct.evaluate.model import open_model
from fct.evaluate.sweep import predict
from fct.evaluate.unseen import UNSEEN
from fct.export.onnx import export
from fct.images.decode import MOST_PIXELS
from fct.images.tables import UNKNOWN_QUALITY
from fct.int8.quantise import quantise
from fct.models import backbones
from fct.models.network import Network
from fct.models.saved import Description
from fct.serving.classifier import Classifier
from fct.serving.counters import Counters, Observation
from fct.splits.store import Split

RESULTS = Path("benchmarks/results/serving.json")
IMAGES, SIZE, ROUNDS = 10_000, 32, 5
QUALITIES = list(range(5, 105, 5))
PREDICT = """
import sys
from pathlib import Path
from fct.cli import main
try:
    main(["predict", *sys.argv[1:]], standalone_mode=False)
finally:
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""  # not ru_maxrss, which a child begins with its parent's


def main() -> None:
    """Measure, print, and write the results."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
    pixels = coarse.repeat(SIZE // 8, axis=1).repeat(SIZE // 8, axis=2)  # smooth enough to compress as photographs do
    split = Split("random", pixels, np.zeros(IMAGES, np.int64), np.full(IMAGES, UNKNOWN_QUALITY), None)
    with tempfile.TemporaryDirectory() as folder:
        model, small = Path(folder) / "model.onnx", Path(folder) / "model-int8.onnx"
        _export(model)
        few = np.ascontiguousarray(pixels[:256].transpose(0, 3, 1, 2))
        quantise(model, few, np.full(256, UNKNOWN_QUALITY), small)
        sweep = _seconds(lambda: predict(model, split, QUALITIES, "4:2:0", batch_size=500), rounds=1)
        noise = [name for name, one in UNSEEN.items() if one.kind not in ("codec", "corruption")]
        deployments = {
            images: _seconds(
                partial(predict, model, split, [], "4:2:0", batch_size=500, unseen=noise, unseen_images=images),
                rounds=1,
            )
            for images in (IMAGES, IMAGES // 10)
        }
        classifier = Classifier.of(open_model(model).session)
        files = [_jpeg(image) for image in pixels[:2000]]
        threads = joblib.cpu_count()
        served = _seconds(lambda: list(classifier.classify(files, threads=threads)))
        counted = _cost_of_counting(model, classifier, files, Path(folder) / "counters")
        pair = {name: open_model(path) for name, path in (("fp32", model), ("int8", small))}
        batch, told = pixels[:500], np.full(500, UNKNOWN_QUALITY)
        taken: dict[str, list[float]] = {name: [] for name in pair}
        for _ in range(ROUNDS):  # in turn: what else the machine does then touches both
            for name, each in pair.items():
                taken[name].append(_seconds(partial(each.adapter.logits, each.session, batch, told), rounds=1))
        medians = {name: statistics.median(values) for name, values in taken.items()}
        found = {
            "machine": f"{platform.machine()}, {threads} cores",
            "network": "resnet20 of width 16, 32 pixels",
            "sweep": {"images": IMAGES, "qualities": len(QUALITIES), "seconds": round(sweep, 1)},
            "deployments": {
                "distortions": len(noise),
                "seconds": {str(images): round(seconds, 1) for images, seconds in deployments.items()},
            },
            "predict_images_a_second": round(len(files) / served),
            "counters": counted,
            "ms_an_image": {name: round(1000 * value / len(batch), 3) for name, value in medians.items()},
            "int8_speed": round(medians["fp32"] / medians["int8"], 2),
            "bytes": {"fp32": model.stat().st_size, "int8": small.stat().st_size},
            "peak_mib": {mode: _peak(model, Path(folder), mode) for mode in ("none", "RGB", "RGBA")},
        }
    write_json(RESULTS, found)
    for name, value in found.items():
        print(f"{name}: {value}")


def _cost_of_counting(
    model: Path, classifier: Classifier, files: list[bytes], folder: Path, rounds: int = 15
) -> dict[str, float | list[float]]:
    """Return the processor time of an image without counters, and how much more it takes with them, a median."""
    counters = Counters(folder, sha256(model), classifier.classes, classifier.qualities)
    pair = (classifier, replace(classifier, counters=counters))
    ratios, plain = [], []
    for turn in range(rounds):
        taken = {}
        for place in (0, 1) if turn % 2 else (1, 0):
            begin = time.process_time()
            list(pair[place].classify(files))
            taken[place] = time.process_time() - begin
        plain.append(taken[0] / len(files))
        ratios.append(taken[1] / taken[0])
    batch = [Observation(75, "ijg", SIZE, "7", 0.5)] * 32
    begin = time.process_time()
    for _ in range(1000):
        counters.add(batch)
    alone = (time.process_time() - begin) / 1000 / len(batch)
    counters.write()
    return {
        "us_an_image": round(1e6 * statistics.median(plain), 1),
        "ratio": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(value, 4) for value in statistics.quantiles(ratios, n=4)[::2]],
        "us_of_counting_alone": round(1e6 * alone, 2),
    }


def _export(path: Path) -> None:
    backbone = backbones.build_backbone("resnet20", width=16, classes=10, channels=3, size=SIZE, stem="own")
    network = Network(backbone, mean=[0.5] * 3, std=[0.25] * 3, layers=["stage3"], size=SIZE).eval()
    description = Description(
        backbone="resnet20",
        width=16,
        stem="own",
        classes=[str(each) for each in range(10)],
        channels=3,
        size=SIZE,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        layers=["stage3"],
        block=None,
        qualities=[10, 50, 90],
        data_digest="",
        params_digest="",
    )
    export(network, description, path)


def _peak(model: Path, folder: Path, mode: str) -> int:
    """Return the MiB that `fct predict` takes for eight of the largest images of a mode; `none`: a small one alone."""
    names = [folder / f"{mode}-{number}.{'jpg' if mode == 'RGB' else 'png'}" for number in range(8)]
    if mode == "none":
        names = names[:1]
        Image.new("RGB", (SIZE, SIZE)).save(names[0])
    else:
        side = math.isqrt(MOST_PIXELS)
        Image.new(mode, (side, side)).save(names[0])
        for name in names[1:]:
            name.hardlink_to(names[0])
    asked = [sys.executable, "-c", PREDICT, *map(str, names), "--model", str(model)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return int(said.split()[-2]) // 1024  # "VmHWM: ... kB"


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return how long `work` takes, the median of `rounds`."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


if __name__ == "__main__":
    with exit_on_error():
        main()
