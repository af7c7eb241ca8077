"""Compressed views from the cache against views made online: accuracy, time, disk and memory, side by side.

    dvc repro data cache-index cache     # the splits and their caches, if they are not there yet
    python -m benchmarks.views           # trains what is missing of both x SEEDS, then prints the table

The cache holds images that were compressed whole, so that the random crop shifts JPEG's grid; online the crop comes
first. All else is params.yaml's own; test images only report. Each run leaves a file in benchmarks/results as it ends.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.comparison.run import machine
from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.paths import CACHE
from fct.methods.params import MethodParams
from fct.search.__main__ import Params
from fct.splits.store import open_split, read_meta
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.loop import train

RESULTS = Path("benchmarks/results/views")
CHECKPOINTS = Path(".fct/benchmarks")
QUALITIES = (30, 10, 5)  # 5 lies outside the trained ones
SEEDS = (0, 1, 2)
VIEWS = ("cache", "online")


def main() -> None:
    """Train what is missing and print the table."""
    with exit_on_error():
        read, source = params.load(Params), read_meta()["source"]
        found = {views: [_run(read, views, seed, RESULTS / source) for seed in SEEDS] for views in VIEWS}
    conditions = ["raw", *(f"q{quality}" for quality in QUALITIES)]
    print(
        "| views | "
        + " | ".join(condition.title() for condition in conditions)
        + " | seconds | cache on disk | mapped |"
    )
    print("|---|" + "---|" * (len(conditions) + 3))
    for views, runs in found.items():
        cells = [_interval([100 * run["accuracy"][condition] for run in runs]) for condition in conditions]
        timed = [run["seconds"] for run in runs if run["seconds"]]
        cells += [_interval(timed) if timed else "-"]
        cells += [f"{runs[0][key] / 2**20:,.0f} MiB" for key in ("disk", "mapped")]
        print(f"| {views} | " + " | ".join(cells) + " |")


def _run(read: Params, views: str, seed: int, folder: Path) -> dict:
    path = folder / f"{views}-{seed}.json"
    if not path.exists():
        schedule = read.train.model_copy(update={"views": views, "seed": seed})
        setup = Setup(tuple(read.cache.qualities), read.jpeg.subsampling, read.model, schedule)
        images = open_split("train").images.nbytes
        cached = sum(file.stat().st_size for file in CACHE.glob("q*/train.npy")) if views == "cache" else 0
        write_json(path, _measured(setup, read.method) | {"disk": cached, "mapped": images + cached})
    return dict(json.loads(path.read_text()))


def _measured(setup: Setup, method: MethodParams) -> dict[str, Any]:
    """Train a network, or go on with it, and measure its exported file on the test split."""
    from fct.evaluate.sweep import predict
    from fct.export.onnx import export

    data, meta = open_data(setup)
    network, description = make_network(setup, method, data.train, meta)
    checkpoint = Checkpoint(identity(setup, method, meta), root=CHECKPOINTS)
    resumed = len((checkpoint.load() or {"history": ()})["history"])  # epochs
    start = time.perf_counter()
    history = train(network, data, method, setup.train, checkpoint=checkpoint)
    share = (len(history) - resumed) / len(history)
    seconds = (time.perf_counter() - start) / share if share else None  # of a whole training
    test = open_split("test")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        export(network, description, model)
        right = predict(model, test, QUALITIES, setup.subsampling, batch_size=500).correct
    return {
        "method": method.model_dump(),
        "seed": setup.train.seed,
        "accuracy": dict(zip(["raw", *(f"q{quality}" for quality in QUALITIES)], right.mean(1).tolist(), strict=True)),
        "validation": {key: history[-1][key] for key in ("val_raw", "val_compressed")},
        "test": f"{meta['test']}, {len(test)} images",
        "model": setup.model.model_dump(),
        "train": setup.train.model_dump(),
        "seconds": seconds and round(seconds, 1),  # on a machine that other work shares
        "machine": machine(),
    }


def _interval(values: list[float]) -> str:
    """Return the mean and, of several values, the half-width of its 95 % t interval."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1f} ± {half:.1f}"


if __name__ == "__main__":
    main()
