"""Choose the consistency term by short trainings, and write search/best.yaml.

    python -m fct.search [--fresh] [--join]

Writes plots/search.csv, the accuracies of all trials, and plots/importance.csv, how much each searched value matters.

Run the command again after a crash or a kill: only missing trials are run.

`fct search` is the same, with a number of workers. With --join the process is one worker more of a search that runs on
any host, and writes no files.
"""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any

import click
from optuna.trial import FrozenTrial

from fct import tracking
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.database import VARIABLE, database_url
from fct.core.errors import FctError, exit_on_error
from fct.core.files import write_bytes, write_text
from fct.core.params import to_yaml
from fct.core.paths import BEST_METHOD, IMPORTANCE_CSV, SEARCH_CSV, SPLITS
from fct.engine.params import ComputeParams, read_compute
from fct.methods.params import MethodParams
from fct.search import plots
from fct.search.attributes import TRACKED
from fct.search.importance import ENOUGH
from fct.search.launch import check_database, die_with_parent, run_workers
from fct.search.params import SearchParams
from fct.search.run import Result, Search, without_search
from fct.search.space import is_searched
from fct.train.assemble import Setup, TrainingSections
from fct.train.lock import training_lock

HEADING = "# Written by the search; read by the training. params.yaml stays as it is.\n"
ADVISED = 30  # trials


class Params(TrainingSections):
    """The sections of params.yaml that this stage reads."""

    method: MethodParams
    search: SearchParams


@click.command()
@click.option("--fresh", is_flag=True, help="Delete the trials of earlier runs.")
@click.option("--join", is_flag=True, help="Be a further worker of a search that runs; needs FCT_DATABASE_URL.")
def main(*, fresh: bool, join: bool) -> None:
    """Search weight, layers, blocks, distance and target of the consistency term on validation data."""
    with exit_on_error():
        if join:
            join_search()
        else:
            run_search(fresh=fresh)


def run_search(*, fresh: bool = False, workers: int | None = None) -> None:
    """Run the search to its end, and write its outputs.

    Args:
        fresh: delete the trials of earlier runs.
        workers: how many processes run trials; None for `compute.search_workers`. One is this process.

    Raises:
        FctError: something that the user can correct.
    """
    compute = read_compute()
    workers = workers or compute.search_workers
    check_database(workers)
    with training_lock():
        sections = params.load(Params).resolved()
        environment.check()
        setup = Setup.of(sections)
        datasets = tracking.datasets(SPLITS, *map(cache_folder, setup.qualities))
        outputs = [BEST_METHOD, SEARCH_CSV, IMPORTANCE_CSV]
        with tracking.stage("search", params=sections.model_dump(), outputs=outputs, datasets=datasets) as run:
            result = without_search(sections.method)
            if is_searched(sections.method, sections.search):
                with closing(Search(setup, sections.method, sections.search, run.child, fresh=fresh)) as search:
                    _run_trials(search, run, workers, compute)
                    result = search.result()
            if result.compressed is not None and result.raw is not None:
                run.metrics({"val_compressed": result.compressed, "val_raw": result.raw})
            run.tag("trial", result.trial)
            write_text(BEST_METHOD, HEADING + to_yaml({"trial": result.trial, "method": result.method.model_dump()}))
            _plot(result, run)
        print(describe(result))


def join_search() -> None:
    """Run trials of a search that another process has opened, until none is left.

    Raises:
        FctError: something that the user can correct, such as no search to join.
    """
    if database_url() is None:
        raise FctError(f"--join: set {VARIABLE} to the PostgreSQL database of the search to join.")
    is_started_by_another = die_with_parent()  # which shows the progress of all
    sections = params.load(Params).resolved()
    environment.check()
    if not is_searched(sections.method, sections.search):
        raise FctError("params.yaml: method and search.trials ask for no search, so there is none to join.")
    runs: list[tracking.Run] = []  # the run in MLflow of the process that opened the search, as soon as it is known

    def open_child(name: str, method: dict[str, Any]) -> AbstractContextManager[tracking.Run]:
        return runs[0].child(name, method)

    setup = Setup.of(sections)
    with (
        closing(Search(setup, sections.method, sections.search, open_child, join=True)) as search,
        tracking.resume(search.tracked()) as run,
    ):
        runs.append(run)
        search.run_trials(on_reaped=partial(_close_reaped, run), show_progress=not is_started_by_another)


def _run_trials(search: Search, run: tracking.Run, workers: int, compute: ComputeParams) -> None:
    """Run the trials by `workers` processes. What they leave is run here, so that the search always ends."""
    if search.storage is not None:
        search.track(run.id)
    if workers > 1:
        with search.progress() as bar:
            run_workers(workers, compute, on_look=partial(search.show, bar))
    search.run_trials(on_reaped=partial(_close_reaped, run))
    if search.storage is not None:
        run.close_children()  # of workers that died between two lines


def _close_reaped(run: tracking.Run, trial: FrozenTrial) -> None:
    """Close the run in MLflow of a trial whose worker is dead."""
    if TRACKED in trial.user_attrs:
        run.close_dead_child(trial.user_attrs[TRACKED])


def _plot(result: Result, run: tracking.Run) -> None:
    """Write the tables for `dvc plots`, and log them to MLflow as figures."""
    points, shares = plots.points_of(result.tried), result.importance
    write_text(SEARCH_CSV, plots.points_csv(points))
    write_text(IMPORTANCE_CSV, plots.shares_csv(shares))
    pictures = []
    if points:
        pictures.append(
            ("search.png", plots.picture(partial(plots.draw_tradeoff, points=points), "Trials on validation images"))
        )
    if shares:
        pictures.append(
            (
                "importance.png",
                plots.picture(partial(plots.draw_importance, shares=shares), "What sets the best quarter apart"),
            )
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, content in pictures:
            write_bytes(Path(folder) / name, content)
            run.plot(Path(folder) / name)


def describe(result: Result) -> str:
    """Return the result of the search, and the limits of its budget, as lines of text."""
    trials, space = len(result.tried), result.space
    if space is None:
        return f"no search: {BEST_METHOD} has the method of params.yaml, unchanged."
    counts = {end: sum(one.end == end for one in result.tried) for end in ("pruned", "diverged")}
    ended = "".join(f", {count} {end}" for end, count in counts.items() if count)
    answer = (
        f"best: trial {result.trial} of {trials} (0 is the method of params.yaml{ended}): {result.compressed:.4f} on "
        f"compressed images, {result.raw:.4f} raw. It is in {BEST_METHOD}."
    )
    if trials >= ENOUGH:
        return answer
    return (
        f"{answer}\n{trials} trials are a first look: they can neither find the best of {space.describe()} nor show "
        f"which of them matter. Set search.trials to {ADVISED}."
    )


if __name__ == "__main__":
    main()
