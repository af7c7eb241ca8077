"""The command `fct`. Each command imports the heavy packages that it needs."""

from __future__ import annotations

import io
import sys

import click

from fct.cli import counters, models, project, registry, remote
from fct.cli.search import search
from fct.core.errors import DISTRIBUTION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION)
def main() -> None:
    """Configure, judge, promote and serve image classifiers that survive JPEG.

    DVC runs the pipeline: `dvc repro` (or `make repro`) trains, exports and judges a model and writes the verdict to
    metrics/gate.json. `fct promote` and `fct rollback` then decide which model is served. Deployments load
    `models:/<registry.name>@champion` from MLflow, at MLFLOW_TRACKING_URI or else sqlite:///mlflow.db.

    Run the commands in the folder that has params.yaml. gate, predict, counters, layers, weights, `recipe list` and
    `recipe show` work in any folder.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have characters that the terminal's encoding lacks
        sys.stdout.reconfigure(errors="backslashreplace")


for _command in (
    *(registry.promote, registry.rollback, registry.status, registry.history, registry.verify),
    *(models.report, models.gate, models.predict, models.layers, models.weights, models.spread, counters.counters),
    search,
    *(project.init, project.thresholds, project.check, project.doctor, project.recipe),
    remote.remote,
):
    main.add_command(_command)
