"""What each part costs on this machine, and what that means for ImageNet-1k on 8 and 64 GPUs.

    python -m benchmarks.growth                # measures everything: 10 minutes, and 24 GB on the disk of TMPDIR
    python -m benchmarks.growth --only flow    # one part
    python -m benchmarks.growth --tables       # writes the tables of docs/how-to/beyond/growth.md from results alone

1. `status`: `dvc status` with nothing to do, over caches of 1 and 10 GB, and over as many files as ImageNet-1k needs.
2. `flow`: what Prefect adds to DVC (benchmarks.flow).
3. `database`: the transactions of workers of a search, with the real intervals (benchmarks.search_workers).

Shards on threads and on Ray come from benchmarks/results/engine.json, trials a second from search_workers.json in the
same folder: `python -m benchmarks.engine` and `python -m benchmarks.search_workers` measure them. What is extrapolated
is computed here, by `extrapolate`, and the page marks it.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks import dvc_status
from benchmarks.markdown import between, table
from fct.core.errors import FctError, exit_on_error
from fct.core.files import write_text

HERE = Path(__file__).parent
RESULTS = HERE / "results/growth.json"
PAGE = HERE.parent / "docs/how-to/beyond/growth.md"
MARKS = "<!-- {}: written by `python -m benchmarks.growth` -->", "<!-- {} ends -->"
GPUS = (8, 64)

Row = dict[str, Any]


class Task(NamedTuple):
    """What is extrapolated to."""

    images: int = 1_281_167  # ImageNet-1k
    file: float = 110e3  # bytes of one image's file
    pixels: int = 224
    qualities: int = 9  # cache.qualities of params.yaml
    shard: int = 256 * 2**20  # bytes, cache.shard
    epochs: int = 90
    pairs: float = 1300.0  # a second and GPU, of a ResNet-50: assumed, nobody measured it here
    cores: int = 8  # for each GPU
    trial: float = 600.0  # seconds of a trial, with a worker for each GPU

    @property
    def view(self) -> int:
        """Bytes of one view."""
        return 3 * self.pixels**2

    @property
    def shards(self) -> int:
        """Of all qualities."""
        return self.qualities * -(-self.images // (self.shard // self.view))


IMAGENET = Task()


class Measured(NamedTuple):
    """What was measured, on two cores."""

    cpu_of_image: float  # seconds of one core, for all qualities of an image
    read: float  # bytes a second of a `dvc status` that reads all
    status: float  # seconds, with as many files as ImageNet-1k has shards
    transactions_of_trial: float
    transactions_of_worker: float  # a second, while its trial runs
    trials: float  # a second that workers and database on two cores can hand out


def extrapolate(measured: Measured, gpus: int, task: Task = IMAGENET) -> dict[str, float]:
    """Return what a task needs on so many GPUs, if everything grows in proportion.

    Returns:
        hours, GB, GB a second or transactions a second, as the names say.
    """
    views = task.images * task.view
    cores = gpus * task.cores
    return {
        "GB of caches": task.qualities * views / 1e9,
        "GB of everything": ((task.qualities + 1) * views + 2 * task.images * task.file) / 1e9,
        "files of caches": task.shards,
        "hours to build caches": task.images * measured.cpu_of_image / cores / 3600,
        "hours of hashing": task.qualities * views / measured.read / 3600,
        "seconds of dvc status": measured.status,
        "hours of training": task.epochs * task.images / task.pairs / gpus / 3600,
        "GB/s of reading": gpus * task.pairs * 2 * task.view / 1e9,
        "transactions/s": gpus * (measured.transactions_of_trial / task.trial + measured.transactions_of_worker),
        "share of the search's limit": gpus / task.trial / measured.trials,
    }


def measured_by(growth: Mapping[str, Any], engine: Mapping[str, Any], workers: Mapping[str, Any]) -> Measured:
    """Take what is extrapolated from the results of the benchmarks."""
    large, many = growth["status"]["10 GB"], growth["status"][list(dvc_status.CASES)[-1]]
    decode, crew = engine["decode once"], max(workers["rows"], key=lambda row: int(row["workers"]))
    return Measured(
        cpu_of_image=decode["CPU seconds in one pass"] / decode["images"],
        read=large["gigabytes"] * 1e9 / large["seconds of a status that reads all"],
        status=many["seconds of a status"],
        transactions_of_trial=crew["transactions_per_trial"],
        transactions_of_worker=growth["database"]["transactions_per_second_with_a_trial"],
        trials=crew["trials_per_second"],
    )


def measure_status() -> Row:
    """Measure `dvc status`."""
    return {name: dvc_status.measure(case) for name, case in dvc_status.CASES.items()}


def measure_flow() -> Row:
    """Measure the flow."""
    from benchmarks import flow

    return {"stages": flow.STAGES, **flow.measure()}


def measure_database() -> Row:
    """Measure the load of a search on its database."""
    from benchmarks import search_workers

    with search_workers.private_server() as server:
        return search_workers.measure_load(server)


PARTS: dict[str, Callable[[], Row]] = {
    "status": measure_status,
    "flow": measure_flow,
    "database": measure_database,
}


@click.command(help="What each part costs on this machine.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, default=list(PARTS), help="Measure these parts.")
@click.option("--tables", "only_tables", is_flag=True, help="Measure nothing; write the tables of the page.")
def main(*, only: tuple[str, ...], only_tables: bool) -> None:
    """Measure, and write results and tables."""
    with exit_on_error():
        for part in () if only_tables else only:
            results = _read(RESULTS) if RESULTS.exists() else {}
            load = round(os.getloadavg()[0], 1)
            results[part] = {**PARTS[part](), "load": load}
            results["machine"] = {"machine": platform.machine(), "cores": os.cpu_count()}
            write_text(RESULTS, json.dumps(results, indent=2) + "\n")
            print(part, json.dumps(results[part]), flush=True)
        page = PAGE.read_text()
        for name, block in tables().items():
            page = between(page, block, (MARKS[0].format(name), MARKS[1].format(name)), PAGE)
        write_text(PAGE, page)


def tables() -> dict[str, str]:
    """Return the tables of the page by the name of their marks.

    Raises:
        FctError: a benchmark has no results yet.
    """
    growth = _read(RESULTS)
    engine, workers = (_read(RESULTS.with_name(f"{name}.json")) for name in ("engine", "search_workers"))
    if missing := [part for part in PARTS if part not in growth]:
        raise FctError(f"{RESULTS.name} has no {missing[0]}. Run `python -m benchmarks.growth --only {missing[0]}`.")
    measured = measured_by(growth, engine, workers)
    return {
        "status": _status_table(growth["status"]),
        "engines": _engines_table(engine),
        "flow": _flow_table(growth["flow"]),
        "database": _database_table(growth["database"], measured),
        "extrapolated": _extrapolated_table([extrapolate(measured, gpus) for gpus in GPUS]),
    }


def _status_table(status: Mapping[str, Any]) -> str:
    header = ["caches", "files", "recorded in", "`dvc status`", "`dvc status` that reads all"]
    return table(
        header,
        [
            [
                name,
                f"{status[name]['files']:,}",
                f"{status[name]['seconds to record']:.0f} s",
                f"{status[name]['seconds of a status']:.1f} s",
                f"{status[name]['seconds of a status that reads all']:.0f} s",
            ]
            for name in dvc_status.CASES
        ],
    )


def _engines_table(engine: Mapping[str, Any]) -> str:
    names = {"local": "threads", "ray": "Ray, one node on the same cores"}
    rows = [[names[key], f"{row['seconds']:.0f}", f"{row['shards/s']:.1f}"] for key, row in engine["engines"].items()]
    return table(["engine", "seconds", "shards/s"], rows)


def _flow_table(flow: Mapping[str, Any]) -> str:
    return table(
        ["", "seconds"],
        [
            [f"{flow['stages']} stages by DVC alone", f"{flow['DVC by itself']:.1f}"],
            ["the same as a flow", f"{flow['the flow']:.1f}"],
            ["more for each stage, the median of rounds", f"{flow['more for each stage']:.2f}"],
            ["a flow with nothing to do", f"{flow['nothing to do']:.1f}"],
        ],
    )


def _database_table(database: Mapping[str, Any], measured: Measured) -> str:
    return table(
        ["", "transactions"],
        [
            ["a trial, from the question to the answer", f"{measured.transactions_of_trial:.0f}"],
            ["a worker while its trial runs", f"{database['transactions_per_second_with_a_trial']:.2f} a second"],
            ["a worker that waits for others", f"{database['transactions_per_second_without']:.2f} a second"],
        ],
    )


def _extrapolated_table(columns: list[dict[str, float]]) -> str:
    formats = {
        "GB of caches": ("disk of the caches", "{:,.0f} GB"),
        "GB of everything": ("disk of images, splits and caches", "{:,.0f} GB"),
        "files of caches": ("files of the caches", "{:,.0f}"),
        "hours of hashing": ("DVC reads all caches once", "{:.1f} h"),
        "seconds of dvc status": ("`dvc status` with nothing to do", "{:.0f} s"),
        "hours to build caches": ("all caches are built", "{:.2f} h"),
        "hours of training": ("a training of 90 epochs", "{:.1f} h"),
        "GB/s of reading": ("pixels that it reads", "{:.1f} GB/s"),
        "transactions/s": ("transactions of the search", "{:.1f} a second"),
        "share of the search's limit": ("share of the search's limit on two cores that is used", "{:.1%}"),
    }
    rows = [[title, *(text.format(column[key]) for column in columns)] for key, (title, text) in formats.items()]
    return table(["", *(f"{gpus} GPUs" for gpus in GPUS)], rows)


def _read(path: Path) -> Row:
    """Read the results of a benchmark.

    Raises:
        FctError: there are none.
    """
    if not path.exists():
        raise FctError(f"{path.name} is not there. Run `python -m benchmarks.{path.stem}`.")
    return dict(json.loads(path.read_text()))


if __name__ == "__main__":
    main()
