"""The command line of the comparison: `python -m benchmarks.comparison --help`."""

from __future__ import annotations

import click

from fct.core.errors import exit_on_error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the paper's comparison as benchmarks/params.yaml says, from the repository's root.

    `run --missing` makes what is missing, `summary` rebuilds every table and figure from the results.
    """


@main.command()
@click.argument("dataset", required=False)
@click.argument("name", required=False)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--trial", type=click.IntRange(min=0), default=0, help="One of its trials; the chosen one if absent.")
@click.option("--repeat", is_flag=True, help="Keep the result beside the first one's, to compare two machines.")
@click.option("--missing", is_flag=True, help="All that is missing or stale: everywhere, of DATASET, or of NAME there.")
@click.option("--processes", type=click.IntRange(min=1), help="With --missing: how many runs are made at a time.")
@click.option("--minutes", type=click.FloatRange(min=0), help="With --missing: stop then; the next call goes on.")
def run(  # noqa: PLR0913 - options are parameters
    dataset: str | None,
    name: str | None,
    seed: int,
    trial: int,
    *,
    repeat: bool,
    missing: bool,
    processes: int | None,
    minutes: float | None,
) -> None:
    """Train NAME, a method or an ablation, on DATASET and measure it; go on if it was begun."""
    with exit_on_error():
        from benchmarks.comparison import run as runs
        from benchmarks.comparison.settings import RunId, read

        if not missing and (processes or minutes is not None):
            raise click.UsageError("--processes and --minutes belong to --missing.")
        if missing:
            if seed or trial or repeat:
                raise click.UsageError("--missing takes no --seed, --trial or --repeat.")
            if processes or minutes is not None:
                from benchmarks.comparison.queue import run_queue

                raise SystemExit(run_queue([each for each in (dataset, name) if each], processes or 1, minutes))
            click.echo(f"{runs.run_missing(read(), dataset, name)} runs made.")
        elif dataset is None or name is None:
            raise click.UsageError("Name a data set and a method, or give --missing.")
        else:
            click.echo(runs.run(read(), RunId(dataset, name, seed, trial), repeat=repeat))


@main.command()
def status() -> None:
    """List the runs that are missing, and the records that are stale: of other settings than params.yaml has now."""
    with exit_on_error():
        from benchmarks.comparison.pending import report
        from benchmarks.comparison.settings import read

        lines = list(report(read()))
        click.echo("\n".join(lines) or "Every run of benchmarks/params.yaml is there, with its settings.")


@main.command()
def cost() -> None:
    """Time a step of every method against pair's, in turn, on an idle machine."""
    with exit_on_error():
        from benchmarks.comparison.cost import measure
        from benchmarks.comparison.settings import read

        click.echo(measure(read()))


@main.command()
def summary() -> None:
    """Write comparison.md and its figures in docs/results, the tables of claims in index.md, and README's table."""
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
