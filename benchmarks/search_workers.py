"""What many workers of one search cost: trials a second, overhead of a trial, load of the database, duplicates.

    python -m benchmarks.search_workers                # 1, 8 and 64 workers, 1,000 trials each
    python -m benchmarks.search_workers --workers 8 --trials 200

A trial here trains nothing. It suggests the twelve values of a real one, reports two epochs and tells a result, so all
the time is that of the search itself. The database is a private PostgreSQL on this machine. Results go to
benchmarks/results/search_workers.json with the machine's load, and as a table to docs/how-to/beyond/search.md.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import optuna
from optuna.trial import Trial, TrialState

from benchmarks.markdown import between, table
from fct.core.database import connect
from fct.core.errors import FctError, exit_on_error
from fct.core.files import write_text
from fct.search import workers as module
from fct.search.storage import PatientStorage
from fct.search.workers import Plan, tell, work
from pipelines.stack.postgres import Postgres

RESULTS = Path(__file__).parent / "results/search_workers.json"
PAGE = Path(__file__).parents[1] / "docs/how-to/beyond/search.md"
MARKS = "<!-- workers: written by `python -m benchmarks.search_workers` -->", "<!-- workers ends -->"
SIZES = (1, 8, 64)
SWITCHES = [f"layer {number}" for number in range(5)] + [f"block {number}" for number in range(4)]
FIRST: dict[str, Any] = {"weight": 1.0, **dict.fromkeys(SWITCHES, True), "distance": "mse", "target": "teacher"}
NAME = "stub"
TURN = "turn"  # attribute of a trial: seconds that its worker waited for it
CREW, LONG = 8, 60.0  # workers whose load is counted, and seconds of their trials
SETTLED, WINDOW = 8.0, 40.0  # seconds from the start of the trials, and seconds that are counted
OWN = 1  # transaction of the count itself
POLL = 0.5  # seconds between two looks of a worker without a trial; 5 for real trials, which last minutes


def open_study(url: str) -> tuple[optuna.Study, PatientStorage]:
    """Open the study as a worker does."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = PatientStorage(url)
    return optuna.create_study(study_name=NAME, storage=storage, direction="maximize", load_if_exists=True), storage


def run_stub(study: optuna.Study, storage: PatientStorage, trial: Trial) -> None:
    """Do all that a trial of the search writes, and train nothing."""
    weight = trial.suggest_float("weight", 0.1, 3.0, log=True)
    on = sum(trial.suggest_categorical(name, [True, False]) for name in SWITCHES)
    trial.suggest_categorical("distance", ["centred-mse", "cosine", "mse"])
    trial.suggest_categorical("target", ["ema-teacher", "teacher"])
    for epoch in (1, 2):
        trial.set_user_attr("curve", [[weight, weight]] * epoch)
        trial.report(weight, epoch)
    trial.set_constraint("gain", 0.0)
    tell(study, storage, trial, weight + on)


def run_worker(url: str, trials: int, ready: Any, begin: Any, turns: Any) -> None:
    """Be a worker: wait for the others, then run trials."""
    os.environ["FCT_DATABASE_URL"] = url
    study, storage = open_study(url)
    waited: list[float] = []
    take_turn = module._take_turn  # noqa: SLF001  # timed from outside

    def timed(*arguments: Any) -> module.Turn:
        start = time.perf_counter()
        turn = take_turn(*arguments)
        if turn.trial is not None:
            waited.append(time.perf_counter() - start)
        return turn

    module._take_turn = timed  # type: ignore[assignment]  # noqa: SLF001  # as many arguments
    ready.release()
    begin.wait()
    work(study, storage, Plan(trials, 0, FIRST, POLL), lambda trial: run_stub(study, storage, trial))
    turns.put(waited)


def forkserver() -> Any:
    """Return what starts workers that need not import anything."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["fct.search.workers", "pipelines.stack.postgres"])
    return context


def measure(server: Postgres, size: int, trials: int) -> dict[str, Any]:
    """Run `trials` stub trials with `size` workers in a database of their own."""
    url = server.make_database(f"workers_{size}")
    _, storage = open_study(url)  # makes the tables
    storage.engine.dispose()
    context = forkserver()
    ready, begin, turns = context.Semaphore(0), context.Event(), context.Queue()
    crew = [
        context.Process(target=run_worker, args=(url, trials, ready, begin, turns), daemon=True) for _ in range(size)
    ]
    for worker in crew:
        worker.start()
    for _ in crew:
        ready.acquire()
    before, load = commits(url), os.getloadavg()[0]
    start = time.perf_counter()
    begin.set()
    waited = sorted(second for _ in crew for second in turns.get())
    seconds = time.perf_counter() - start
    for worker in crew:
        worker.join()
    written = commits(url) - before
    study, storage = open_study(url)
    states = Counter(trial.state for trial in study.trials)
    values = Counter(tuple(sorted(trial.params.items())) for trial in study.trials)
    storage.engine.dispose()
    return {
        "workers": size,
        "trials": states[TrialState.COMPLETE],
        "other_states": sum(states.values()) - states[TrialState.COMPLETE],
        "duplicates": sum(count - 1 for count in values.values()),
        "seconds": round(seconds, 1),
        "trials_per_second": round(trials / seconds, 2),
        "milliseconds_per_trial_of_a_worker": round(1000 * seconds * min(size, trials) / trials, 1),
        "milliseconds_of_a_turn": {
            "median": round(1000 * statistics.median(waited), 1),
            "95%": round(1000 * waited[int(0.95 * len(waited))], 1),
        },
        "transactions_per_trial": round(written / trials, 1),
        "load_before": round(load, 1),
    }


def measure_load(server: Postgres) -> dict[str, Any]:
    """Count the transactions of workers that only wait, and of workers whose trials run, with the real intervals.

    The first trial runs alone, so all other workers wait for it. Then each worker has a trial. All last `LONG` seconds.
    """
    url = server.make_database("load")
    _, storage = open_study(url)
    storage.engine.dispose()
    crew = [forkserver().Process(target=run_slowly, args=(url,), daemon=True) for _ in range(CREW)]
    for worker in crew:
        worker.start()
    waiting = _rate_while(url, crew, running=1)
    working = _rate_while(url, crew, running=CREW)
    for worker in crew:
        worker.join()
    beat = working / CREW
    return {
        "workers": CREW,
        "transactions_per_second_with_a_trial": round(beat, 2),
        "transactions_per_second_without": round((waiting - beat) / (CREW - 1), 2),
    }


def run_slowly(url: str) -> None:
    """Be a worker with trials that last."""
    os.environ["FCT_DATABASE_URL"] = url
    study, storage = open_study(url)

    def run(trial: Trial) -> None:
        time.sleep(LONG)
        run_stub(study, storage, trial)

    work(study, storage, Plan(1 + CREW, 0, FIRST), run)


def _rate_while(url: str, crew: Sequence[Any], *, running: int) -> float:
    """Wait until so many trials run, and return the transactions a second of the next `WINDOW` seconds.

    Raises:
        FctError: a worker has ended.
    """
    with connect(url) as connection:
        while True:
            row = connection.execute("SELECT count(*) FROM trials WHERE state = 'RUNNING'").fetchone()
            if row and row[0] == running:
                break
            if not all(worker.is_alive() for worker in crew):
                raise FctError("a worker of the measurement ended early. Its message is above.")
            time.sleep(1)
    time.sleep(SETTLED)
    before, start = commits(url), time.perf_counter()
    time.sleep(WINDOW)
    return (commits(url) - before - OWN) / (time.perf_counter() - start)


def commits(url: str) -> int:
    """Return how many transactions the database has committed."""
    with connect(url) as connection:
        time.sleep(1)  # sessions hand in their counts at least once a second
        row = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return int(row[0]) if row else 0


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the page."""
    header = ["workers", "trials", "duplicates", "trials/s", "ms of a worker a trial", "ms of a turn, median and 95 %"]
    return table(
        header,
        [
            [
                row["workers"],
                f"{row['trials']:,}",
                row["duplicates"],
                f"{row['trials_per_second']:.1f}",
                f"{row['milliseconds_per_trial_of_a_worker']:,.0f}",
                " and ".join(f"{row['milliseconds_of_a_turn'][key]:,.0f}" for key in ("median", "95%")),
            ]
            for row in rows
        ],
    )


@contextmanager
def private_server() -> Iterator[Postgres]:
    """Yield a PostgreSQL that ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Postgres.create(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@click.command()
@click.option("--workers", type=click.IntRange(1), multiple=True, default=SIZES, show_default=True)
@click.option("--trials", type=click.IntRange(1), default=1000, show_default=True)
def main(*, workers: tuple[int, ...], trials: int) -> None:
    """Measure, print, and write the results."""
    rows = {row["workers"]: row for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    with exit_on_error(), private_server() as server:
        for size in workers:
            rows[size] = measure(server, size, trials)
            print(json.dumps(rows[size]), flush=True)
            machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
            ordered = [rows[size] for size in sorted(rows)]
            write_text(RESULTS, json.dumps({**machine, "rows": ordered}, indent=2) + "\n")
            write_text(PAGE, between(PAGE.read_text(), table_of(ordered), MARKS, PAGE))


if __name__ == "__main__":
    main()
