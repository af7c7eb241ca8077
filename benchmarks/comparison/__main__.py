"""The command line of the comparison: `python -m benchmarks.comparison --help`."""

from __future__ import annotations

import click

from fct.core.errors import exit_on_error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the paper's comparison as benchmarks/params.yaml says, from the repository's root."""


@main.command()
@click.argument("dataset")
@click.argument("name")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--trial", type=click.IntRange(min=0), default=0, help="One of its trials; the chosen one if absent.")
def run(dataset: str, name: str, seed: int, trial: int) -> None:
    """Train NAME, a method or an ablation, on DATASET and measure it; go on if it was begun."""
    with exit_on_error():
        from benchmarks.comparison.run import run as train_and_measure
        from benchmarks.comparison.settings import read

        click.echo(train_and_measure(read(), dataset, name, seed, trial))


@main.command()
def cost() -> None:
    """Time a step of every method against pair's, in turn, on an idle machine."""
    with exit_on_error():
        from benchmarks.comparison.cost import measure
        from benchmarks.comparison.settings import read

        click.echo(measure(read()))


@main.command()
def summary() -> None:
    """Write summary.json, tables and figures from the runs that are there."""
    with exit_on_error():
        from benchmarks.comparison.summary import write

        write()


@main.command()
@click.argument("dataset")
@click.argument("name")
@click.argument("other")
def compare(dataset: str, name: str, other: str) -> None:
    """Tell how NAME differs from OTHER on DATASET, with intervals: any two, where `summary` has chosen ones."""
    with exit_on_error():
        from benchmarks.comparison.summary import compare as differences

        click.echo(differences(dataset, name, other))


if __name__ == "__main__":
    main()
