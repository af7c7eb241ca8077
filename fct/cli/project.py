"""Commands about this working copy: init, thresholds, check, doctor, recipe."""

from __future__ import annotations

import math
import sys
import textwrap
from pathlib import Path

import click

from fct.core.errors import FctError, exit_on_error

TERMINAL = 80  # characters of a line, so that no terminal breaks it again


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of images, with one sub-folder per class.",
)
@click.option("--model", help="Backbone, such as resnet18 or timm/tf_efficientnet_lite0. Default: a small one of ours.")
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Pretrained weights of MODEL, a file in weights/ (`fct weights MODEL`).",
)
@click.option(
    "--hours",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time that the two trainings from WEIGHTS may take on this machine. It limits the size.",
)
@click.option("--dry-run", is_flag=True, help="Show the values without writing params.yaml.")
def init(*, data: Path, model: str | None, weights: Path | None, hours: float, dry_run: bool) -> None:
    """Write values that fit your images into params.yaml, each with its reason.

    Looks at the sizes, channels and numbers of the images; proposes the size that the model sees, the share of images
    that decides promotions, the layers of the backbone, and a recipe for the training. For pretrained weights, it
    first tries them on up to 800 images for some minutes. It shows their accuracy at each size, raw and at JPEG
    quality 10, and how long the trainings take. It tries no larger size after the first that takes longer than --hours.
    Other values and comments of params.yaml stay. Set the thresholds of the gate later, from measured values, with
    `fct thresholds`.
    """
    with exit_on_error():
        from fct.cli.check import Params
        from fct.cli.init import look, propose, propose_name, refuse_small_classes, write
        from fct.cli.probe import CLASSES, choose, describe, format_probed
        from fct.core.params import load, present_or_defaults
        from fct.core.paths import PARAMS
        from fct.data.scan import format_problems
        from fct.data.survey import survey

        if math.isnan(hours):
            raise FctError("--hours nan: this must be a number of hours.")
        # Before the images, which may take minutes.
        present = load(Params, present_or_defaults() if dry_run else PARAMS)
        facts = survey(data)
        click.echo(f"{data}: {facts}")
        if facts.problems or facts.unusable:
            click.echo(
                "The stage data stops at what cannot be used. Repair or remove it, or set data.folder.on_error: skip."
                f"{format_problems([*facts.problems, *facts.unusable])}"
            )
        refuse_small_classes(data, facts)
        if weights is not None and model is None:
            raise FctError(f"--weights {weights}: name the backbone of these weights with --model, such as resnet18.")
        chosen = None
        if model is not None and weights is not None:
            probed = look(data, facts, model, weights, hours)
            looked_at = f"{probed[0].images} images"
            if len(facts.classes) > CLASSES:
                looked_at += f" of {CLASSES} of the classes"
            click.echo(f"{model} as it is, with a linear classifier on half of {looked_at}:")
            click.echo(format_probed(probed))
            chosen = choose(probed, hours)
            click.echo(describe(chosen, choose(probed)))
        changed = [
            *propose(data, facts, model, weights, chosen, fractions=present.data.fractions),
            *propose_name(data, present.data),
        ]
        for proposal in changed:
            value = "null" if proposal.value is None else proposal.value
            click.echo(f"{proposal.key}: {value}  ({proposal.why})")
        if not dry_run:
            write(changed)
        click.echo(
            "Nothing was written (--dry-run)."
            if dry_run
            else "Written to params.yaml. Next: `dvc repro export@standard`, then `fct thresholds`."
        )


@click.command()
@click.option("--dry-run", is_flag=True, help="Show the thresholds without writing params.yaml.")
def thresholds(*, dry_run: bool) -> None:
    """Set the thresholds of the gate from the network without robustness.

    Needs `dvc repro export@standard`: that network is trained on raw images alone. Measures it on validation images,
    raw and compressed, by the lines of the gate. Lines of accuracy and calibration (ece) then allow a candidate to be
    one point worse, plus the uncertainty that comes from the number of gate images. file_mib allows a quarter more.
    Other lines stay as they are. Tighten the lines that matter to you. stderr warns of thresholds below chance.
    """
    with exit_on_error():
        from fct import recipes
        from fct.cli.thresholds import propose_thresholds

        proposals = propose_thresholds()
        for proposal in proposals:
            click.echo(
                f"{proposal.line.name:<20} standard has {proposal.value:.4g}: {proposal.key} "
                f"{proposal.line.threshold:g} -> {proposal.threshold:g}"
            )
        if not dry_run:
            recipes.write({proposal.key: proposal.threshold for proposal in proposals})
        click.echo("Nothing was written (--dry-run)." if dry_run else "Written to params.yaml.")


@click.command()
def check() -> None:
    """Check params.yaml, as far as that is possible without data.

    Checks the values that stages and registry read, and whether they fit each other. Builds the network to find the
    layers that the values name, and loads the weights that it starts from. `dvc repro` does the same before its first
    stage, without the registry. `make ui` and `make deploy` check the other sections: pipeline, intake and watch.
    """
    with exit_on_error():
        from fct.check import checks
        from fct.cli.check import Params
        from fct.core.params import load

        checks.check(load(Params))
        click.echo("params.yaml: every value fits. Not checked: the images, and pipeline, intake and watch.")


@click.command()
@click.option("--services", is_flag=True, help="Check only the servers that the environment and DVC name.")
def doctor(*, services: bool) -> None:
    """Look for damage in the splits, the caches and the registry.

    Reads every byte and compares it with the checksums that were written with the data. Names whatever is damaged or
    missing, with the command that rebuilds it. Says how much disk space DVC's cache takes, and how to free it.

    The exit status is 1 if something is damaged or missing. It is also 1 if the registry's champion was not made
    champion by `fct promote` or `fct rollback`.

    With --services, the command checks only the DVC remote and the servers that MLFLOW_TRACKING_URI, PREFECT_API_URL,
    FCT_DATABASE_URL and RAY_ADDRESS name. It shows whether each answers, its version, your rights, and its clock. It
    also shows this machine's free disk space and GPUs. All checks run at once, each for at most 20 seconds. The exit
    status is 1 if something that is set cannot be used.
    """
    if services:
        from fct.cli.services import report

        with exit_on_error():
            is_bad = report(click.echo)
        sys.exit(is_bad)
    with exit_on_error():
        from fct.cli.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            click.echo(f"{finding.subject}: {finding.problem or 'whole'}")
        _report_disk()
        unproven = _report_champion()
    sys.exit(unproven or any(finding.problem for finding in findings))


@click.group()
def recipe() -> None:
    """List, show and apply recipes: named configurations, each for one need.

    `fct recipe apply NAME` writes a recipe into params.yaml. You can edit its values there.
    """


@recipe.command(name="list")
def list_recipes() -> None:
    """List the recipes, one per line."""
    with exit_on_error():
        from fct import recipes

        names = recipes.names()
        for name in names:
            click.echo(f"{name:<{max(map(len, names))}}  {recipes.read(name).title}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what the recipe NAME is for, and which values it sets."""
    with exit_on_error():
        from fct import recipes
        from fct.core.params import to_yaml
        from fct.methods.params import WITH_CONSISTENCY

        chosen = recipes.read(name)
        title, use = (textwrap.fill(text, TERMINAL, break_on_hyphens=False) for text in (chosen.title, chosen.use))
        click.echo(f"{title}\n\n{use}\n\n{to_yaml(chosen.params)}", nl=False)
        if chosen.params.get("method", {}).get("name") in WITH_CONSISTENCY:
            click.echo("# The search may change weight, layers, blocks, distance and target.")
            click.echo("# search.trials: 1 keeps them.")


@recipe.command(name="apply")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show the changes without writing params.yaml.")
def apply_recipe(name: str, *, dry_run: bool) -> None:
    """Write the values of the recipe NAME into params.yaml, and show what changed.

    Comments and all other values stay. The recipe's `method.layers`, `method.block.layers` and `features.layers` belong
    to its own network. For another backbone, set them afterwards to its layers (`fct layers`). The command warns if
    params.yaml does not pass `fct check` then.
    """
    with exit_on_error():
        from fct import recipes
        from fct.cli.check import fault_with

        changes = recipes.apply(name, dry_run=dry_run)
        for key, (old, new) in changes.items():
            click.echo(f"{key}: {old} -> {new}")
        if not changes:
            click.echo(f"params.yaml already has every value of the recipe {name}.")
        elif dry_run:
            click.echo("Nothing was written (--dry-run).")
        else:
            click.echo("Written to params.yaml. `dvc repro` runs the stages that use these keys.")
        if fault := fault_with(recipes.read(name).params):
            click.echo(f"warning: with these values params.yaml does not pass `fct check`: {fault}", err=True)
            layers = [key for key in changes if key.endswith(".layers")]
            if any(f"{key}:" in fault for key in layers):
                click.echo(
                    "A recipe has the layers of its own network. Write those of your backbone into "
                    f"{', '.join(layers)}. Their old values are above.",
                    err=True,
                )


def _report_disk() -> None:
    """Print how much disk space the versions of this project take, and how to free it."""
    from fct.vcs.disk import FREE, format_size, measure

    if usage := measure():
        current, total = format_size(usage.current), format_size(usage.total)
        click.echo(f"disk: this version needs {current}; all versions in {usage.cache} take {total}. {FREE}.")


def _report_champion() -> bool:
    """Print the state of the registry, and return whether its champion is unproven."""
    from fct import registry
    from fct.core.errors import FctError
    from fct.registry import messages

    try:
        name, state = registry.status()
    except FctError as error:
        click.echo(f"registry: not checked: {error}", err=True)
        return False
    is_unproven = state.champion is not None and not state.is_proven
    click.echo(f"registry, {name}: {messages.UNPROVEN.strip() if is_unproven else 'whole'}")
    return is_unproven
