"""Train the same network on raw images alone: the teacher of methods that want one, and the report's worst case.

    python -m fct.baseline

Writes model/standard.pt. It has the candidate's network and schedule, but nothing of its method, and is never judged or
promoted.
"""

from __future__ import annotations

from fct import tracking
from fct.cache.params import CacheParams
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.params import Section
from fct.core.paths import SPLITS, STANDARD_PT
from fct.methods.params import STANDARD, MethodParams
from fct.models import saved
from fct.models.params import FeaturesParams, ModelParams
from fct.splits.params import JpegParams
from fct.train.assemble import Setup, check_network, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.lock import training_lock
from fct.train.loop import score, train
from fct.train.params import TrainParams


class Params(Section):
    """What this stage reads of params.yaml."""

    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams


class Later(Section):
    """What later stages read: nothing here depends on it, so that another method leaves this training as it is."""

    method: MethodParams
    features: FeaturesParams


def main() -> None:
    """Train with `standard`; what later stages would refuse after hours is refused before."""
    with exit_on_error(), training_lock():
        environment.check()
        read = params.load(Params)
        setup = Setup.of(read.cache, read.jpeg, read.model, read.train)
        data, meta = open_data(setup)
        later = params.load(Later)
        check_network(setup, later.method, meta, measured=later.features.layers)
        network, description = make_network(setup, STANDARD, data.train, meta)
        with tracking.stage(
            "baseline",
            params=read.model_dump() | {"train": setup.train.model_dump()},
            outputs=[STANDARD_PT],
            datasets=tracking.datasets(SPLITS, *map(cache_folder, setup.qualities)),
        ) as run:
            history = train(
                network,
                data,
                STANDARD,
                setup.train,
                checkpoint=Checkpoint(identity(setup, STANDARD, meta)),
                on_epoch=lambda number, metrics: run.metrics(metrics, step=number),
            )
            saved.save(network, description, STANDARD_PT)
            best = max(history, key=score)
            run.headline({"baseline_val_raw": best["val_raw"], "baseline_val_compressed": best["val_compressed"]})
        print(f"{STANDARD_PT}: validation accuracy raw {best['val_raw']:.2%}, compressed {best['val_compressed']:.2%}")


if __name__ == "__main__":
    main()
