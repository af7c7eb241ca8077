"""Train the same network on raw images alone: the teacher of methods that want one, and the report's worst case.

    python -m fct.stages.baseline

Writes model/standard.pt and model/standard.onnx. It has the candidate's network and schedule, but nothing of its
method, and is never judged or promoted.
"""

from __future__ import annotations

from fct import recipes, tracking
from fct.cache.params import CacheParams
from fct.cache.store import folder
from fct.core.errors import readable_errors
from fct.core.params import Section
from fct.data.store import SPLITS
from fct.evaluate.candidates import BASELINE
from fct.export.onnx import export
from fct.jpeg.params import JpegParams
from fct.methods.params import STANDARD, MethodParams
from fct.models.params import FeaturesParams, ModelParams
from fct.train import candidate
from fct.train.assemble import Setup, check_network, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.loop import score, train
from fct.train.params import TrainParams
from fct.train.turn import training_lock


class Params(Section):
    """What this stage reads of params.yaml."""

    recipe: recipes.Name
    jpeg: JpegParams
    cache: CacheParams
    model: ModelParams
    train: TrainParams


class Later(Section):
    """What later stages read: nothing here depends on it, so that another method leaves this training as it is."""

    recipe: recipes.Name
    method: MethodParams
    features: FeaturesParams


def main() -> None:
    """Train with `standard`, and export; what later stages would refuse after hours is refused before."""
    with readable_errors(), training_lock():
        read = recipes.load(Params)
        setup = Setup(tuple(read.cache.qualities), read.jpeg.subsampling, read.model, read.train)
        data, meta = open_data(setup)
        later = recipes.load(Later)
        check_network(setup, later.method, meta, measured=later.features.layers)
        network, description = make_network(setup, STANDARD, data.train, meta)
        with tracking.stage(
            "baseline",
            params=read.model_dump(),
            outputs=[candidate.BASELINE, BASELINE],
            datasets=tracking.datasets(SPLITS, *map(folder, setup.qualities)),
        ) as run:
            history = train(
                network,
                data,
                STANDARD,
                read.train,
                checkpoint=Checkpoint(identity(setup, STANDARD, meta)),
                on_epoch=lambda number, metrics: run.metrics(metrics, step=number),
            )
            candidate.save(network, description, candidate.BASELINE)
            export(network, description, BASELINE)
            best = max(history, key=score)
            run.headline({"baseline_val_raw": best["val_raw"], "baseline_val_compressed": best["val_compressed"]})
        print(f"{BASELINE}: validation accuracy raw {best['val_raw']:.2%}, compressed {best['val_compressed']:.2%}")


if __name__ == "__main__":
    main()
