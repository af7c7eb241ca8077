"""Commands about this working copy: doctor, recipe."""

from __future__ import annotations

import sys

import click

from fct.core.errors import exit_on_error


@click.command()
def doctor() -> None:
    """Look for damage in the splits and the caches.

    Reads every byte and holds it against the checksums that were taken when it was written. Whatever is damaged or
    missing is named, with the command that makes it anew; the exit status is then 1. So it is where the registry's
    champion is not the one that `fct promote` or `fct rollback` made champion.
    """
    with exit_on_error():
        from fct.cli.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            click.echo(f"{finding.what}: {finding.problem or 'whole'}")
        unproven = _unproven_champion()
    sys.exit(unproven or any(finding.problem for finding in findings))


@click.group()
def recipe() -> None:
    """Named configurations: which training for which need.

    `fct recipe apply NAME` writes one into params.yaml, where you can go on changing it.
    """


@recipe.command(name="list")
def list_recipes() -> None:
    """List the recipes, one a line."""
    with exit_on_error():
        from fct import recipes

        known = recipes.names()
        for name in known:
            click.echo(f"{name:<{max(map(len, known))}}  {recipes.read(name).title}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Say what the recipe NAME is for, and what it sets."""
    with exit_on_error():
        from fct import recipes
        from fct.core.params import to_yaml
        from fct.methods.params import WITH_CONSISTENCY

        told = recipes.read(name)
        click.echo(f"{told.title}\n\n{told.use}\n{to_yaml(told.params)}", nl=False)
        if told.params.get("method", {}).get("name") in WITH_CONSISTENCY:
            click.echo("# The search may change weight, layers, distance and target; with search.trials: 1 they stay.")


@recipe.command(name="apply")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show what would change; leave params.yaml as it is.")
def apply_recipe(name: str, *, dry_run: bool) -> None:
    """Write the values of the recipe NAME into params.yaml, and say what changed.

    Comments and all other values stay. `method.layers` and `method.block.layers` are those of the project's own
    networks: for another backbone, name its own afterwards (`fct layers`).
    """
    with exit_on_error():
        from fct import recipes

        changes = recipes.apply(name, dry_run=dry_run)
        for key, (old, new) in changes.items():
            click.echo(f"{key}: {old} -> {new}")
        if not changes:
            click.echo(f"params.yaml has all values of the recipe {name} already.")
        elif dry_run:
            click.echo("Nothing is written (--dry-run).")
        else:
            click.echo("Written into params.yaml. `dvc repro` runs what these keys touch.")


def _unproven_champion() -> bool:
    """Say how the registry stands, and return whether its champion is unproven."""
    from fct import registry
    from fct.core.errors import FctError
    from fct.registry import messages

    try:
        name, state = registry.status()
    except FctError as error:
        click.echo(f"registry: not looked at: {error}", err=True)
        return False
    is_unproven = state.champion is not None and not state.is_proven
    click.echo(f"registry, {name}: {messages.UNPROVEN.strip() if is_unproven else 'whole'}")
    return is_unproven
