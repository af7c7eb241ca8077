"""The command `fct`. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import click

from fct.cli import models, project, registry


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fct")
def main() -> None:
    """Promote JPEG-robust classifiers, and take them back.

    The pipeline itself is DVC's: `dvc repro` (or `make repro`) trains, exports and judges a model, and writes the
    verdict to metrics/gate.json. These commands decide what is served: deployments load
    models:/<registry.name>@champion from MLflow (MLFLOW_TRACKING_URI, sqlite:///mlflow.db if unset).

    Run them in the folder that has params.yaml.
    """


for _command in (
    *(registry.promote, registry.rollback, registry.status, registry.history, registry.verify),
    *(models.report, models.gate, models.predict, models.layers),
    *(project.doctor, project.recipe),
):
    main.add_command(_command)
