"""The command `fct counters`: what served models were asked, for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from fct.core.errors import FctError, exit_on_error


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Answer Prometheus on this port of 127.0.0.1, until Ctrl-C."
)
def counters(*, folder: Path, port: int | None) -> None:
    """Print what served models counted, in the format of Prometheus.

    FOLDER is the folder that the environment variable FCT_COUNTERS names where models are served. For each model, the
    command adds up the counts of all processes: JPEG qualities, families of JPEG tables, sizes, predicted classes,
    confidences and errors. Damaged files are named and skipped; without --port the exit status is then 1. It is 2 if
    the folder has other files alone.
    """
    with exit_on_error():
        from fct.monitoring import prometheus
        from fct.monitoring.counts import WHICH, read_counts

        reading = read_counts(folder)
        for problem in reading.damaged:
            click.echo(f"skipped {folder}/{problem}", err=True)
        if not reading.models and not reading.damaged:
            if port is None and any(not path.name.startswith(".") for path in folder.iterdir()):
                raise FctError(f"{folder} has other files, but no counts. {WHICH}")
            click.echo(f"{folder} has no counts yet. {WHICH}", err=True)
        if port is not None:
            prometheus.serve(folder, port)
            return
        click.echo(prometheus.to_text(reading), nl=False)
        if reading.damaged:
            raise SystemExit(1)
