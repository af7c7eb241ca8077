"""Every method of the pipeline on the data of `data/splits`, at equal compute, over seeds.

    dvc repro data cache-index cache     # the splits and their caches, if they are not there yet
    python -m benchmarks.methods         # trains what is missing of RUNS x SEEDS, then prints the table
    python -m benchmarks.methods --table # prints the table of what is there

Side by side, one process a core: `OMP_NUM_THREADS=1 python -m benchmarks.methods --seed 0 & ... --seed 1 & wait`.

Each method forwards the same number of images in the same number of optimiser steps: methods that forward one view of
an image take batches twice as large for twice the epochs. So that one also sees what changing `method.name` alone does,
these run once more on params.yaml's own schedule, at half the compute. All other parameters are those of params.yaml;
no method is tuned. Test images only report. Each run leaves benchmarks/results/methods/<source>/<method>-<seed>.json
as it ends (<method>-half-<seed>.json at half the compute), and one that was killed goes on from its last epoch.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from scipy import stats

from fct.core import params
from fct.core.errors import readable_errors
from fct.core.files import write_json
from fct.data.store import open_split, read_meta
from fct.methods.params import MethodParams
from fct.methods.registry import METHODS
from fct.stages.search import Params
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.loop import train

RESULTS = Path("benchmarks/results/methods")
CHECKPOINTS = Path(".fct/benchmarks")
QUALITIES = (30, 10, 5)  # 5 lies outside the trained ones
SEEDS = (0, 1, 2)
RUNS = [(name, half) for name, method in METHODS.items() for half in (False, True)[: 3 - method.VIEWS]]


def run(method: MethodParams, seed: int, *, half: bool) -> dict[str, Any]:
    """Train one method with one seed and measure its exported file on the test split."""
    read = params.load(Params)
    double = 1 if half else 2 // METHODS[method.name].VIEWS
    schedule = read.train.model_copy(
        update={"seed": seed, "epochs": double * read.train.epochs, "batch_size": double * read.train.batch_size}
    )
    return measure(Setup(tuple(read.cache.qualities), read.jpeg.subsampling, read.model, schedule), method) | {
        "half": half
    }


def measure(setup: Setup, method: MethodParams) -> dict[str, Any]:
    """Train a network, or go on with it, and measure its exported file on the test split."""
    import torch

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
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
    }


def table(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table: mean accuracy over the seeds, in %, with the half-width of its 95 % t interval."""
    conditions = ["raw", *(f"q{quality}" for quality in QUALITIES)]
    lines = [
        "| method | " + " | ".join(name.replace("q", "Q") for name in conditions) + " | minutes a run |",
        "|---|" + "---|" * (len(conditions) + 1),
    ]
    for name, half in RUNS:
        runs = [result for result in results if (result["method"]["name"], result["half"]) == (name, half)]
        if not runs:
            continue
        cells = [interval([100 * result["accuracy"][condition] for result in runs]) for condition in conditions]
        timed = [result["seconds"] for result in runs if result["seconds"]]
        minutes = f"{statistics.mean(timed) / 60:.1f}" if timed else "-"
        lines.append(f"| `{name}`{', half the compute' if half else ''} | " + " | ".join(cells) + f" | {minutes} |")
    return "\n".join(lines)


def interval(values: list[float]) -> str:
    """Return the mean and, of several values, the half-width of its 95 % t interval."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1f} ± {half:.1f}"


@click.command()
@click.option("--table", "only_table", is_flag=True, help="Train nothing; print what is there.")
@click.option("--seed", "seeds", type=int, multiple=True, default=SEEDS, help="Only this one; may be repeated.")
def main(*, only_table: bool, seeds: tuple[int, ...]) -> None:
    """Train what is missing and print the table."""
    with readable_errors():
        if not only_table:
            fill(RESULTS / read_meta()["source"], seeds)
        for folder in sorted(RESULTS.iterdir()):
            print(f"{folder.name}\n\n{table([json.loads(path.read_text()) for path in sorted(folder.glob('*.json'))])}")


def fill(folder: Path, seeds: Sequence[int]) -> None:
    """Train what is missing in a folder of results."""
    baseline = params.load(Params).method
    for seed in seeds:
        for name, half in RUNS:
            path = folder / f"{name}{'-half' if half else ''}-{seed}.json"
            if not path.exists():
                print(path.stem, flush=True)
                write_json(path, run(baseline.model_copy(update={"name": name}), seed, half=half))


if __name__ == "__main__":
    main()
