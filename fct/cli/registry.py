"""Commands about registered models: promote, rollback, status, history, verify."""

from __future__ import annotations

import sys
from typing import Any

import click

from fct.core.errors import exit_on_error


@click.command()
@click.option("--why", default="", metavar="TEXT", help="Kept with the version, for those who come after you.")
@click.option("--again", is_flag=True, help="Make champion even a model that was rolled back before.")
@click.option(
    "--commit", is_flag=True, help="Commit dvc.lock, metrics and plots first, if the last commit lags behind."
)
@click.option("--int8", is_flag=True, help="Promote the model's 8-bit form, model/model-int8.onnx.")
@click.option("--allow-dirty", "dirty", is_flag=True, help="Promote although code or params are not committed.")
@click.option(
    "--allow-weaker-gate", "weaker", is_flag=True, help="Promote although the gate asks less than of the champion."
)
def promote(**told: Any) -> None:
    """Register the model that passed the gate; make it champion.

    Refuses, with exit status 1 and nothing registered, a model that failed the gate, a file that is not the one the
    verdict is about or was judged by other thresholds, a file that the dvc.lock of the current git commit does not
    name, code or params that are not committed, and a gate that asks for less than it asked of the champion.

    A model that passes becomes the challenger. It becomes champion if it also passes the lines of the gate that name a
    champion, against the present one and on the same images; the champion before it is remembered for `fct rollback`.
    Promoting the same file again registers nothing new.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        click.echo(messages.format_promotion(registry.promote(**told)))


@click.command()
@click.option("--why", default="", metavar="TEXT", help="Kept with the version that goes.")
@click.option("--to", metavar="VERSION", help="Go back to this version instead of the previous champion.")
def rollback(why: str, to: str | None) -> None:
    """Make the previous champion champion again.

    Goes one step back, or to the version that --to names, which must have passed the gate. The model that goes stays
    registered, marked as rolled back: `fct promote` does not bring it back unless told --again.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        click.echo(messages.format_rollback(registry.rollback(why=why, to=to)))


@click.command()
def status() -> None:
    """Say which versions are champion, challenger and previous.

    A champion is "unproven" if its alias was moved by hand, in MLflow's UI for example, past the gate's verdict and the
    comparison that `fct promote` makes.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        name, state = registry.status()
        click.echo(messages.format_status(name, state))


@click.command()
@click.option("--commit", help="Instead, the versions that this git commit made.")
def history(commit: str | None) -> None:
    """Say which versions were champion: since when, by whom, why, and after which.

    The history is kept in the registry and is only ever added to, by `fct promote` and `fct rollback`. A champion whose
    alias was moved past them stands at its end as unproven.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        if commit is not None:
            name, made = registry.versions_of_commit(commit)
            click.echo(
                "\n".join([name, *map(messages.format_version, made)]) if made else f"{name}: {commit} made none."
            )
            return
        name, events, state = registry.history()
        click.echo("\n".join([name, *map(messages.format_event, events)]) if events else f"{name}: no champion yet.")
        if state.champion and not state.is_proven:
            click.echo(f"  version {state.champion.number} is champion now.{messages.UNPROVEN}")


@click.command()
@click.argument("version")
@click.option("--full", is_flag=True, help="Train too, instead of taking the trained network from DVC.")
def verify(version: str, *, full: bool) -> None:
    """Make a registered VERSION again from its commit and say whether it comes out the same.

    VERSION is champion, challenger, previous, or a number. Its commit is checked out in a temporary clone, its data
    come from DVC's cache or remote, and the stages that export, evaluate and judge run there, on any machine that has
    the repository. Your own files are left alone.

    The exit status is 0 if it gives the same file, or one whose checks are the same to half a point, and else 1.
    """
    with exit_on_error():
        from fct import registry

        name, found, done = registry.verify(version, full=full)
        said = f"{name}: version {found.number}, commit {done.commit[:10]}:"
        if done.same_file:
            click.echo(f"{said} the same file.")
        else:
            apart = "; ".join(
                f"{check} {then:.4g} then, {now:.4g} now" for check, (then, now) in done.differences.items()
            )
            click.echo(f"{said} another file, {apart or 'whose checks are the same'}.")
    sys.exit(not done.is_confirmed)
