"""Commands about registered models: promote, rollback, status, history, verify."""

from __future__ import annotations

import sys
from typing import Any

import click

from fct.core.errors import FAILED, exit_on_error


@click.command()
@click.option("--why", default="", metavar="TEXT", help="Reason, stored with the version.")
@click.option("--again", is_flag=True, help="Allow a model that was rolled back before to become champion.")
@click.option(
    "--commit",
    is_flag=True,
    help="Commit dvc.lock, metrics, plots and .dvc files first if the last commit lacks them.",
)
@click.option("--int8", is_flag=True, help="Promote the 8-bit model, model/model-int8.onnx.")
@click.option(
    "--allow-dirty", "dirty", is_flag=True, help="Promote even if git and DVC lack a file that made the model."
)
@click.option(
    "--allow-weaker-gate",
    "weaker",
    is_flag=True,
    help="Promote even if the gate is weaker than the one the champion passed.",
)
def promote(**options: Any) -> None:
    """Register the model that passed the gate, and make it champion if it is not worse than the present one.

    A registered model becomes the challenger. It becomes champion if it also passes the lines of the gate that name a
    champion: both models are compared on the same images, which neither was trained on. The old champion stays known as
    previous, for `fct rollback`. Promoting the same file again registers nothing new.

    The exit status is 0 if the model is champion afterwards. It is 1 if the model failed the gate, which registers
    nothing. It is also 1 if the model stays challenger: it may be worse than the champion, or was rolled back before.
    It is 75 if the registry does not reply, or if another host changed the champion meanwhile.

    The exit status is 2, and nothing is registered, in each of these cases:

    \b
    - The verdict is about another file or other thresholds.
    - The dvc.lock of the current git commit does not name the file.
    - The gate is weaker than the one the champion passed.
    - A file that a stage read (code, params, requirements.lock, weights, images)
      is neither committed nor in DVC with its .dvc file committed.
    - The champion was trained on most images of the gate split.
    """  # noqa: D301  # the escape tells click to keep the lines of the list
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        promotion = registry.promote(**options)
        click.echo(messages.format_promotion(promotion))
    sys.exit(0 if promotion.is_champion else FAILED)


@click.command()
@click.option("--why", default="", metavar="TEXT", help="Reason, stored with the version that is rolled back.")
@click.option("--to", metavar="VERSION", help="Make this version champion instead of the previous one.")
def rollback(why: str, to: str | None) -> None:
    """Make the previous champion champion again.

    Goes one step back, or to the version of --to, which must have passed the gate. The old champion stays registered
    and is marked as rolled back. `fct promote` makes it champion again only with --again.

    The exit status is 1 if nothing was rolled back: there is no previous champion, or the version of --to is champion
    already. It is 75 if another host changed the champion meanwhile.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        rolled_back = registry.rollback(why=why, to=to)
        click.echo(messages.format_rollback(rolled_back))
    sys.exit(0 if rolled_back.changed else FAILED)


@click.command()
def status() -> None:
    """Show which versions are champion, challenger and previous.

    A champion is "unproven" if someone moved its alias by hand, in MLflow's UI for example. `fct promote` has then not
    checked its verdict and not compared it with the champion before it.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        name, state = registry.status()
        click.echo(messages.format_status(name, state))


@click.command()
@click.option("--commit", help="List the versions that this git commit made instead.")
def history(commit: str | None) -> None:
    """List the champions: when each became champion, who did it, why, and which version it replaced.

    The registry stores this history. `fct promote` and `fct rollback` add to it, and nothing is ever removed. If
    someone moved the champion's alias by hand, the last line shows that champion as unproven.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        if commit is not None:
            name, versions = registry.versions_of_commit(commit)
            lines = [name, *map(messages.format_version, versions)]
            click.echo("\n".join(lines) if versions else f"{name}: no version was made by {commit}.")
            return
        name, events, state = registry.history()
        click.echo("\n".join([name, *map(messages.format_event, events)]) if events else f"{name}: no champion yet.")
        if state.champion and not state.is_proven:
            click.echo(f"  version {state.champion.number} is champion now.{messages.UNPROVEN}")


@click.command()
@click.argument("version")
@click.option("--full", is_flag=True, help="Train again too, instead of taking the trained network from DVC.")
def verify(version: str, *, full: bool) -> None:
    """Rebuild a registered VERSION from its commit, and compare the result with it.

    VERSION is champion, challenger, previous, or a number. The command checks the commit out in a temporary clone,
    takes the data from DVC's cache or remote, and runs the stages that export, evaluate and judge. Your own files do
    not change. Any machine that has the repository can do this. A second line names the interpreter and the packages
    that have changed since the promotion.

    The exit status is 0 if the rebuilt file is the same, or if none of its checks differs by more than half a
    percentage point. Else it is 1.
    """
    with exit_on_error():
        from fct import registry
        from fct.registry import messages

        name, registered, rebuilt = registry.verify(version, full=full)
        heading = f"{name}: version {registered.number}, commit {rebuilt.commit[:10]}:"
        if rebuilt.same_file:
            click.echo(f"{heading} the same file.")
        else:
            differences = "; ".join(
                f"{check} {then:.4g} then, {now:.4g} now" for check, (then, now) in rebuilt.differences.items()
            )
            click.echo(f"{heading} another file, {differences or 'whose checks are the same'}.")
        if rebuilt.toolchain:
            click.echo(messages.format_toolchain(rebuilt.toolchain))
    sys.exit(not rebuilt.is_confirmed)
