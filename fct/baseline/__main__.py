"""Train the same network on raw images only: a teacher for methods that need one, and the worst case of the report.

    python -m fct.baseline

Writes model/standard.pt and metrics/baseline.json, and says how much JPEG disturbs this network. The baseline has the
architecture and the schedule of the candidate, but not its method. It is never judged or promoted.
"""

from __future__ import annotations

from functools import partial

from fct import tracking
from fct.baseline.impact import describe_impact, measure_impact
from fct.cache.store import cache_folder
from fct.core import environment, params
from fct.core.errors import exit_on_error
from fct.core.files import write_json
from fct.core.params import Section
from fct.core.paths import BASELINE_METRICS, SPLITS, STANDARD_PT
from fct.methods.params import STANDARD, MethodParams
from fct.models import saved
from fct.models.params import FeaturesParams
from fct.train.assemble import Setup, TrainingSections, check_network, identity, make_network, open_data
from fct.train.checkpoint import Checkpoint
from fct.train.group import Group
from fct.train.launch import run_training
from fct.train.loop import score, train


class Params(TrainingSections):
    """The sections of params.yaml that this stage reads."""


class Later(Section):
    """Sections of later stages. Here they are only checked: a change does not make this training stale."""

    method: MethodParams
    features: FeaturesParams


def main() -> None:
    """Train with `standard`, after checking the params of later stages that would otherwise fail after hours."""
    with exit_on_error():
        sections = params.load(Params)
        environment.check()
        run_training(sections.train, partial(_train, sections))


def _train(sections: Params, group: Group) -> None:
    sections = sections.resolved()
    setup = Setup.of(sections)
    setup = setup._replace(train=setup.train.model_copy(update={"start": "weights"}))  # others start from this one
    data, meta = open_data(setup, group)
    later = params.load(Later)
    check_network(setup, later.method, meta, measured=later.features.layers)
    network, description = make_network(setup, STANDARD, data.train, meta)
    checkpoint = Checkpoint(identity(setup, STANDARD, meta))
    group.check_same(checkpoint.digest)
    run_epochs = partial(train, network, data, STANDARD, setup.train, checkpoint=checkpoint, group=group)
    if not group.leads:
        run_epochs()
        return
    with tracking.stage(
        "baseline",
        params=sections.model_dump(),
        outputs=[STANDARD_PT],
        datasets=tracking.datasets(SPLITS, *map(cache_folder, setup.qualities)),
    ) as run:
        history = run_epochs(on_epoch=lambda number, metrics: run.metrics(metrics, step=number))
        group.end()
        saved.save(network, description, STANDARD_PT)
        best = max(history, key=score)
        run.headline({"baseline_val_raw": best["val_raw"], "baseline_val_compressed": best["val_compressed"]})
        impact = measure_impact(network, data.val, data.val_views, precision=setup.train.precision)
        write_json(BASELINE_METRICS, impact.as_json())
    print(f"{STANDARD_PT}: validation accuracy raw {best['val_raw']:.2%}, compressed {best['val_compressed']:.2%}")
    print(describe_impact(impact, meta["size"]))


if __name__ == "__main__":
    main()
