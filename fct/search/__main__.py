"""Choose the consistency term by short trainings, and write search/best.yaml.

    python -m fct.search [--fresh]

Writes plots/search.csv, the accuracies of all trials, and plots/importance.csv, how much each searched value matters.

Run the command again after a crash or a kill: only missing trials are run.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import click

from fct import tracking
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_bytes, write_text
from fct.core.params import to_yaml
from fct.core.paths import BEST_METHOD, IMPORTANCE_CSV, SEARCH_CSV, SPLITS
from fct.methods.params import MethodParams
from fct.search import plots
from fct.search.importance import ENOUGH
from fct.search.params import SearchParams
from fct.search.run import Result, search
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
def main(*, fresh: bool) -> None:
    """Search weight, layers, blocks, distance and target of the consistency term on validation data."""
    with exit_on_error(), training_lock():
        environment.check()
        sections = params.load(Params).resolved()
        setup = Setup.of(sections)
        datasets = tracking.datasets(SPLITS, *map(cache_folder, setup.qualities))
        outputs = [BEST_METHOD, SEARCH_CSV, IMPORTANCE_CSV]
        with tracking.stage("search", params=sections.model_dump(), outputs=outputs, datasets=datasets) as run:
            result = search(setup, sections.method, sections.search, run.child, fresh=fresh)
            if result.compressed is not None and result.raw is not None:
                run.metrics({"val_compressed": result.compressed, "val_raw": result.raw})
            run.tag("trial", result.trial)
            write_text(BEST_METHOD, HEADING + to_yaml({"trial": result.trial, "method": result.method.model_dump()}))
            _plot(result, run)
        print(describe(result))


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
