"""Choose the consistency term by short trainings; write search/best.yaml.

    python -m fct.search [--fresh]

A search that was killed and is run again does only what is missing.
"""

from __future__ import annotations

import click

from fct import tracking
from fct.cache.params import CacheParams
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_text
from fct.core.params import Section, to_yaml
from fct.core.paths import BEST_METHOD, SPLITS
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
from fct.search.params import SearchParams
from fct.search.run import search
from fct.splits.params import JpegParams
from fct.train.assemble import Setup
from fct.train.lock import training_lock
from fct.train.params import TrainParams

HEADING = "# Written by the search; read by the training. params.yaml stays as it is.\n"


class Params(Section):
    """What this stage reads of params.yaml."""

    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    method: MethodParams
    search: SearchParams
    train: TrainParams


@click.command()
@click.option("--fresh", is_flag=True, help="Forget the trials of an earlier run.")
def main(*, fresh: bool) -> None:
    """Search the consistency weight, the layers, the distance and the target on validation data."""
    with exit_on_error(), training_lock():
        environment.check()
        read = params.load(Params)
        setup = Setup.of(read.cache, read.jpeg, read.model, read.train)
        told = read.model_dump() | {"train": setup.train.model_dump()}
        read_data = tracking.datasets(SPLITS, *map(cache_folder, setup.qualities))
        with tracking.stage("search", params=told, outputs=[BEST_METHOD], datasets=read_data) as run:
            best = search(setup, read.method, read.search, run.child, fresh=fresh)
            if best.compressed is not None and best.raw is not None:
                run.metrics({"val_compressed": best.compressed, "val_raw": best.raw})
            run.tag("trial", best.trial)
            write_text(BEST_METHOD, HEADING + to_yaml({"trial": best.trial, "method": best.method.model_dump()}))
        print(f"best: trial {best.trial} of {read.search.trials} (0 is params.yaml's own), in {BEST_METHOD}")


if __name__ == "__main__":
    main()
