"""Train the network that the search chose; write model/model.pt.

    python -m fct.stages.train

A training that was killed and is run again goes on from its last epoch, to the same weights.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fct import recipes, tracking
from fct.cache.params import CacheParams
from fct.cache.store import folder
from fct.core import params
from fct.core.errors import readable_errors
from fct.core.files import write_json, write_text
from fct.core.params import Section
from fct.data.store import SPLITS
from fct.estimator import fit_estimator
from fct.jpeg.params import JpegParams
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
from fct.train import candidate
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.loop import Metrics, score, train
from fct.train.params import TrainParams
from fct.train.turn import training_lock
from fct.train.validation import validate

BEST = Path("search/best.yaml")
METRICS = Path("metrics/train.json")
CURVE = Path("plots/training.csv")


class Params(Section):
    """What this stage reads of params.yaml."""

    recipe: recipes.Name
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
    with readable_errors(), training_lock():
        read = recipes.load(Params)
        method = params.read(Chosen, BEST).method
        setup = Setup(tuple(read.cache.qualities), read.jpeg.subsampling, read.model, read.train)
        data, meta = open_data(setup)
        network, description = make_network(setup, method, data.train, meta)
        told = read.model_dump() | {"method": method.model_dump()}
        with tracking.stage(
            "train",
            params=told,
            inputs={"search": BEST},
            outputs=[candidate.MODEL],
            datasets=tracking.datasets(SPLITS, *map(folder, setup.qualities)),
        ) as run:
            history = train(
                network,
                data,
                method,
                read.train,
                checkpoint=Checkpoint(identity(setup, method, meta)),
                on_epoch=lambda number, metrics: run.metrics(metrics, step=number),
            )
            fit_estimator(network, data, method, read.train)
            # Once more: an estimator tells blocks of raw images, too, what the epochs have not seen.
            found = validate(network, data.val, data.val_views, precision=read.train.precision)
            headline = {"val_raw": found.raw, "val_compressed": found.compressed}
            run.headline(headline)
            candidate.save(network, description)
            best = max(history, key=score)
            write_json(METRICS, {key: round(value, 5) for key, value in ({"loss": best["loss"]} | headline).items()})
            write_text(CURVE, _csv(history))
            run.plot(CURVE)
        print(f"validation accuracy: raw {found.raw:.2%}, compressed {found.compressed:.2%}")


def _csv(history: list[Metrics]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number} | metrics for number, metrics in enumerate(history, start=1))
    return stream.getvalue()


if __name__ == "__main__":
    main()
