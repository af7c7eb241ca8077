"""Compressed views from the cache against views made online: accuracy, time, disk and memory, side by side.

    dvc repro data cache-index cache     # the splits and their caches, if they are not there yet
    python -m benchmarks.views           # trains what is missing of both x SEEDS, then prints the table

The cache holds images that were compressed whole, so that the random crop shifts JPEG's grid; online the crop comes
first. All else is params.yaml's own; test images only report. Each run leaves a file in benchmarks/results as it ends.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.methods import QUALITIES, SEEDS, interval, measure
from fct.cache.store import CACHE
from fct.core import params
from fct.core.errors import readable_errors
from fct.core.files import write_json
from fct.data.store import open_split, read_meta
from fct.stages.search import Params
from fct.train.assemble import Setup

RESULTS = Path("benchmarks/results/views")
VIEWS = ("cache", "online")


def main() -> None:
    """Train what is missing and print the table."""
    with readable_errors():
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
        cells = [interval([100 * run["accuracy"][condition] for run in runs]) for condition in conditions]
        timed = [run["seconds"] for run in runs if run["seconds"]]
        cells += [interval(timed) if timed else "-"]
        cells += [f"{runs[0][key] / 2**20:,.0f} MiB" for key in ("disk", "mapped")]
        print(f"| {views} | " + " | ".join(cells) + " |")


def _run(read: Params, views: str, seed: int, folder: Path) -> dict:
    path = folder / f"{views}-{seed}.json"
    if not path.exists():
        schedule = read.train.model_copy(update={"views": views, "seed": seed})
        setup = Setup(tuple(read.cache.qualities), read.jpeg.subsampling, read.model, schedule)
        images = open_split("train").images.nbytes
        cached = sum(file.stat().st_size for file in CACHE.glob("q*/train.npy")) if views == "cache" else 0
        write_json(path, measure(setup, read.method) | {"disk": cached, "mapped": images + cached})
    return dict(json.loads(path.read_text()))


if __name__ == "__main__":
    main()
