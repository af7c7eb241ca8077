"""The command `fct search`."""

from __future__ import annotations

import click

from fct.core.errors import FctError, exit_on_error


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of processes that run trials. More than one need FCT_DATABASE_URL. Default: compute.search_workers.",
)
@click.option("--join", is_flag=True, help="Add one worker to a search that runs, on this or another host.")
@click.option("--fresh", is_flag=True, help="Delete the trials of earlier runs.")
def search(*, workers: int | None, join: bool, fresh: bool) -> None:
    """Choose the consistency term by short trainings (trials), with one or many workers.

    Does what the stage `search` of dvc.yaml does, and writes the same files. `dvc repro` then finds all trials done.

    If FCT_DATABASE_URL names a PostgreSQL database, workers on many hosts can share the trials. Start the search on
    one host, and `fct search --join` on the others. All hosts need the same commit, params.yaml and data, and the same
    MLFLOW_TRACKING_URI. A worker may end or be killed at any time: others run its trial again.
    """
    with exit_on_error():
        if join and (workers is not None or fresh):
            raise FctError("--join: this is one worker of a search that runs; leave out --workers and --fresh.")
        from fct.search.__main__ import join_search, run_search

        if join:
            join_search()
        else:
            run_search(fresh=fresh, workers=workers)
