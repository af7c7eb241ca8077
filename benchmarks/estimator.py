"""What the quality estimator says of validation images at each quality, once it is trained on a data set.

    python -m benchmarks.estimator            # CIFAR-10 and Fashion-MNIST, a minute each
    python -m benchmarks.estimator --tables   # write the table of docs/explanation/method.md from the results

The network's own weights do not matter for it, so the network is untrained.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.data import standing_in
from benchmarks.comparison.probes import QUANTILES, estimates
from benchmarks.comparison.run import machine
from benchmarks.comparison.settings import Settings, plan, read
from benchmarks.comparison.views import jpeg_views
from benchmarks.markdown import between, table
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.splits.store import open_split
from fct.train.assemble import make_network, open_data
from fct.train.estimator import fit_estimator

RESULTS = Path(__file__).parent / "results/estimator.json"
PAGE = Path(__file__).parent.parent / "docs/explanation/method.md"
MARKS = ("<!-- estimates: written by `python -m benchmarks.estimator --tables` -->", "<!-- estimates end -->")
METHOD = "fct-r"
TITLES = {"cifar10": "CIFAR-10, 32 px", "fashion-mnist": "Fashion-MNIST, 28 px, grey"}
QUALITIES = (5, 10, 20, 30, 50, 70, 90)
SEEDS = (0, 1, 2)
BATCH = 500  # images


def measure(settings: Settings, dataset: str) -> dict[str, Any]:
    """Return the quantiles of the estimates by quality, over images and seeds."""
    found: dict[str, list[np.ndarray]] = {}
    with standing_in(settings, dataset):
        for seed in SEEDS:
            setup, method = plan(settings.on(dataset), METHOD, seed)
            block = method.block.model_copy(update={"unknown_quality": "estimate"})
            method = method.model_copy(update={"block": block})
            data, meta = open_data(setup)
            network, _ = make_network(setup, method, data.train, meta)
            fit_estimator(network.eval(), data, method, setup.train)
            val = open_split("val")
            views = dict(zip(map(str, QUALITIES), jpeg_views(val, QUALITIES, setup.subsampling), strict=True))
            for name, view in (views | {"raw": val}).items():
                found.setdefault(name, []).append(estimates(network, view, BATCH))
    quantiles = {name: [round(float(q)) for q in np.quantile(each, QUANTILES)] for name, each in found.items()}
    return {"quantiles": quantiles, "machine": machine(), "images": len(val)}


def tables() -> str:
    """Return a row a data set: the quantiles by quality."""
    rows = [
        [TITLES[name], *(" / ".join(map(str, found["quantiles"][column])) for column in (*map(str, QUALITIES), "raw"))]
        for name, found in json.loads(RESULTS.read_text()).items()
    ]
    return table(["estimate of", *(f"Q{quality}" for quality in QUALITIES), "raw"], rows)


def main() -> None:
    """Measure, or write the page's table from what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="write the table from the results")
    with exit_on_error():
        if not parser.parse_args().tables:
            settings = read()
            write_json(RESULTS, {name: measure(settings, name) for name in TITLES})
        write_text(PAGE, between(PAGE.read_text(), tables(), MARKS, PAGE))


if __name__ == "__main__":
    main()
