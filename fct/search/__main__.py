"""Choose the consistency term by short trainings, and write search/best.yaml.

    python -m fct.search [--fresh]

Run the command again after a crash or a kill: only missing trials are run.
"""

from __future__ import annotations

import click

from fct import tracking
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_text
from fct.core.params import to_yaml
from fct.core.paths import BEST_METHOD, SPLITS
from fct.methods.params import MethodParams
from fct.search.params import SearchParams
from fct.search.run import search
from fct.train.assemble import Setup, TrainingSections
from fct.train.lock import training_lock

HEADING = "# Written by the search; read by the training. params.yaml stays as it is.\n"


class Params(TrainingSections):
    """The sections of params.yaml that this stage reads."""

    method: MethodParams
    search: SearchParams


@click.command()
@click.option("--fresh", is_flag=True, help="Delete the trials of earlier runs.")
def main(*, fresh: bool) -> None:
    """Search weight, layers, distance and target of the consistency term on validation data."""
    with exit_on_error(), training_lock():
        environment.check()
        sections = params.load(Params).resolved()
        setup = Setup.of(sections)
        datasets = tracking.datasets(SPLITS, *map(cache_folder, setup.qualities))
        with tracking.stage("search", params=sections.model_dump(), outputs=[BEST_METHOD], datasets=datasets) as run:
            best = search(setup, sections.method, sections.search, run.child, fresh=fresh)
            if best.compressed is not None and best.raw is not None:
                run.metrics({"val_compressed": best.compressed, "val_raw": best.raw})
            run.tag("trial", best.trial)
            write_text(BEST_METHOD, HEADING + to_yaml({"trial": best.trial, "method": best.method.model_dump()}))
        scores = "" if best.compressed is None else f": {best.compressed:.4f} on compressed images, {best.raw:.4f} raw"
        print(
            f"best: trial {best.trial} of {sections.search.trials} (0 is the method of params.yaml){scores}. "
            f"It is in {BEST_METHOD}."
        )


if __name__ == "__main__":
    main()
