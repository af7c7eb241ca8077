"""Train the network that the search chose; write model/model.pt.

    python -m fct.train

Run the command again after a crash or a kill: the training resumes from its last epoch. On a CPU it
ends with the same weights as without the kill.
"""

from __future__ import annotations

import csv
import io
from functools import partial

from fct import tracking
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_json, write_text
from fct.core.params import Section
from fct.core.paths import BEST_METHOD, MODEL_PT, SPLITS, TRAIN_METRICS, TRAINING_CSV
from fct.methods.params import MethodParams
from fct.models import saved
from fct.train.assemble import Setup, TrainingSections, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.estimator import fit_estimator
from fct.train.group import Group
from fct.train.launch import run_training
from fct.train.loop import Metrics, score, train
from fct.train.validation import validate


class Params(TrainingSections):
    """The sections of params.yaml that this stage reads."""


class Best(Section):
    """The content of search/best.yaml."""

    trial: int
    method: MethodParams


def main() -> None:
    """Train with the method that the search chose."""
    with exit_on_error():
        sections = params.load(Params)
        environment.check()
        run_training(sections.train, partial(_train, sections))


def _train(sections: Params, group: Group) -> None:
    sections = sections.resolved()
    method = params.read(Best, BEST_METHOD).method
    setup = Setup.of(sections)
    data, meta = open_data(setup, group)
    network, description = make_network(setup, method, data.train, meta)
    checkpoint = Checkpoint(identity(setup, method, meta))
    group.check_same(checkpoint.digest)
    run_epochs = partial(train, network, data, method, setup.train, checkpoint=checkpoint, group=group)
    if not group.leads:
        run_epochs()
        return
    with tracking.stage(
        "train",
        params=sections.model_dump() | {"method": method.model_dump()},
        inputs={"search": BEST_METHOD},
        outputs=[MODEL_PT],
        datasets=tracking.datasets(SPLITS, *map(cache_folder, setup.qualities)),
    ) as run:
        history = run_epochs(on_epoch=lambda number, metrics: run.metrics(metrics, step=number))
        group.end()
        fit_estimator(network, data, method, setup.train)
        # Validate again: during the epochs the blocks did not have the estimator's qualities.
        accuracy = validate(network, data.val, data.val_views, precision=setup.train.precision)
        headline = {"val_raw": accuracy.raw, "val_compressed": accuracy.compressed}
        run.headline(headline)
        saved.save(network, description)
        best = max(history, key=score)
        write_json(TRAIN_METRICS, {key: round(value, 5) for key, value in ({"loss": best["loss"]} | headline).items()})
        write_text(TRAINING_CSV, _csv(history))
        run.plot(TRAINING_CSV)
    print(f"validation accuracy: raw {accuracy.raw:.2%}, compressed {accuracy.compressed:.2%}")


def _csv(history: list[Metrics]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number} | metrics for number, metrics in enumerate(history, start=1))
    return stream.getvalue()


if __name__ == "__main__":
    main()
