"""Train the network that the search chose; write model/model.pt.

    python -m fct.train

A training that was killed and is run again goes on from its last epoch, to the same weights.
"""

from __future__ import annotations

import csv
import io

from fct import tracking
from fct.cache.params import CacheParams
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.core.params import Section
from fct.core.paths import BEST_METHOD, MODEL_PT, SPLITS, TRAIN_METRICS, TRAINING_CSV
from fct.methods.params import MethodParams
from fct.models import saved
from fct.models.params import ModelParams
from fct.splits.params import JpegParams
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.lock import training_lock
from fct.train.loop import Metrics, score, train
from fct.train.params import TrainParams
from fct.train.validation import validate


class Params(Section):
    """What this stage reads of params.yaml."""

    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams


class Chosen(Section):
    """What this stage reads of search/best.yaml."""

    trial: int
    method: MethodParams


def main() -> None:
    """Train with `method` as the search left it."""
    with exit_on_error(), training_lock():
        environment.check()
        read = params.load(Params)
        method = params.read(Chosen, BEST_METHOD).method
        setup = Setup.of(read.cache, read.jpeg, read.model, read.train)
        data, meta = open_data(setup)
        network, description = make_network(setup, method, data.train, meta)
        told = read.model_dump() | {"train": setup.train.model_dump(), "method": method.model_dump()}
        with tracking.stage(
            "train",
            params=told,
            inputs={"search": BEST_METHOD},
            outputs=[MODEL_PT],
            datasets=tracking.datasets(SPLITS, *map(cache_folder, setup.qualities)),
        ) as run:
            history = train(
                network,
                data,
                method,
                setup.train,
                checkpoint=Checkpoint(identity(setup, method, meta)),
                on_epoch=lambda number, metrics: run.metrics(metrics, step=number),
            )
            fit_estimator(network, data, method, setup.train)
            # Once more: an estimator tells blocks of raw images, too, what the epochs have not seen.
            found = validate(network, data.val, data.val_views, precision=setup.train.precision)
            headline = {"val_raw": found.raw, "val_compressed": found.compressed}
            run.headline(headline)
            saved.save(network, description)
            best = max(history, key=score)
            write_json(
                TRAIN_METRICS, {key: round(value, 5) for key, value in ({"loss": best["loss"]} | headline).items()}
            )
            write_text(TRAINING_CSV, _csv(history))
            run.plot(TRAINING_CSV)
        print(f"validation accuracy: raw {found.raw:.2%}, compressed {found.compressed:.2%}")


def _csv(history: list[Metrics]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number} | metrics for number, metrics in enumerate(history, start=1))
    return stream.getvalue()


if __name__ == "__main__":
    main()
