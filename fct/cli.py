"""The command `fct`. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fct.core.errors import readable_errors

Thing = TypeVar("Thing")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fct")
def main() -> None:
    """Promote JPEG-robust classifiers, and take them back.

    The pipeline itself is DVC's: `dvc repro` (or `make repro`) trains, exports and judges a model, and writes the
    verdict to metrics/gate.json. These commands decide what is served: deployments load
    models:/<registry.name>@champion from MLflow (MLFLOW_TRACKING_URI, sqlite:///mlflow.db if unset).

    Run them in the folder that has params.yaml.
    """


@main.command()
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
    with readable_errors():
        from fct import registry
        from fct.registry import words

        click.echo(words.promoted(registry.promote(**told)))


@main.command()
@click.option("--why", default="", metavar="TEXT", help="Kept with the version that goes.")
@click.option("--to", metavar="VERSION", help="Go back to this version instead of the previous champion.")
def rollback(why: str, to: str | None) -> None:
    """Make the previous champion champion again.

    Goes one step back, or to the version that --to names, which must have passed the gate. The model that goes stays
    registered, marked as rolled back: `fct promote` does not bring it back unless told --again.
    """
    with readable_errors():
        from fct import registry
        from fct.registry import words

        click.echo(words.rolled_back(registry.rollback(why=why, to=to)))


@main.command()
def status() -> None:
    """Say which versions are champion, challenger and previous.

    A champion is "unproven" if its alias was moved by hand, in MLflow's UI for example, past the gate's verdict and the
    comparison that `fct promote` makes.
    """
    with readable_errors():
        from fct import registry
        from fct.registry import words

        name, state = registry.status()
        click.echo(words.shown(name, state))


@main.command()
@click.option("--out", default="report.html", show_default=True, type=click.Path(path_type=Path), help="The page.")
@click.option("--champion/--no-champion", default=True, help="Ask the champion about the same images too.")
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME=FILE",
    help="Another ONNX file to show beside it, such as mine=a.onnx.",
)
@click.option("--attach", is_flag=True, help="Attach the page to the MLflow run that made the model.")
@click.option("--open/--no-open", "opens", default=None, help="Open it in a browser; the default on a terminal.")
def report(*, out: Path, champion: bool, beside: tuple[str, ...], attach: bool, opens: bool | None) -> None:
    """Make one HTML page about the model: verdict, accuracy by quality and class, unseen distortions, examples.

    Reads what `dvc repro` made and asks the champion, if there is one, and the same network trained on raw images
    alone (the stage `baseline`) about the same test images. The page is one file that needs nothing from outside: mail
    it, print it, read it on a phone.
    """
    with readable_errors():
        from tempfile import TemporaryDirectory

        from fct import registry
        from fct import report as of

        with TemporaryDirectory() as folder:
            path = of.build(of.others(beside, Path(folder), champion=champion), out)
        click.echo(path)
        if attach:
            click.echo(registry.attach(path))
        if opens if opens is not None else sys.stdout.isatty():
            click.launch(path.resolve().as_uri())


@main.command()
@click.option("--commit", help="Instead, the versions that this git commit made.")
def history(commit: str | None) -> None:
    """Say which versions were champion: since when, by whom, why, and after which.

    The history is kept in the registry and is only ever added to, by `fct promote` and `fct rollback`. A champion whose
    alias was moved past them stands at its end as unproven.
    """
    with readable_errors():
        from fct import registry
        from fct.registry import words

        if commit is not None:
            name, made = registry.made_by(commit)
            click.echo("\n".join([name, *map(words.about, made)]) if made else f"{name}: {commit} made none.")
            return
        name, events, state = registry.history()
        click.echo("\n".join([name, *map(words.remembered, events)]) if events else f"{name}: no champion yet.")
        if state.champion and not state.is_proven:
            click.echo(f"  version {state.champion.number} is champion now.{words.UNPROVEN}")


@main.command()
@click.argument("version")
@click.option("--full", is_flag=True, help="Train too, instead of taking the trained network from DVC.")
def verify(version: str, *, full: bool) -> None:
    """Make a registered VERSION again from its commit and say whether it comes out the same.

    VERSION is champion, challenger, previous, or a number. Its commit is checked out in a temporary clone, its data
    come from DVC's cache or remote, and the stages that export, evaluate and judge run there, on any machine that has
    the repository. Your own files are left alone.

    The exit status is 0 if it gives the same file, or one whose checks are the same to half a point, and else 1.
    """
    with readable_errors():
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


@main.command()
def doctor() -> None:
    """Look for damage in the splits and the caches.

    Reads every byte and holds it against the checksums that were taken when it was written. Whatever is damaged or
    missing is named, with the command that makes it anew; the exit status is then 1. So it is where the registry's
    champion is not the one that `fct promote` or `fct rollback` made champion.
    """
    with readable_errors():
        from fct.doctor import examine

        findings = []
        for finding in examine():
            findings.append(finding)
            click.echo(f"{finding.what}: {finding.problem or 'whole'}")
        unproven = _unproven_champion()
    sys.exit(unproven or any(finding.problem for finding in findings))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Images to judge it on, one sub-folder a class.",
)
@click.option(
    "--champion",
    type=click.Path(path_type=Path),
    help="Another ONNX file of the same classes, read as MODEL is, for the lines of the gate that name one.",
)
@click.option(
    "--params",
    default="params.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="A file with the sections jpeg, evaluate and gate.",
)
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Class names, a line each, in order.",
)
@click.option(
    "--normalise", help="Of float32 pixels: unit (0..1), symmetric (-1..1), imagenet, bytes (0..255), mean/deviation."
)
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Where the shape does not tell.")
@click.option("--size", type=click.IntRange(8, 4096), help="Pixels, height and width, where the shape does not tell.")
@click.option("--json", "to_json", type=click.Path(path_type=Path), help="Write the verdict to this file.")
@click.option("--junit", "to_junit", type=click.Path(path_type=Path), help="Write it as JUnit XML, for CI servers.")
def gate(model: Path, *, to_json: Path | None, to_junit: Path | None, **told: Any) -> None:
    """Judge any ONNX image classifier by its accuracy on compressed images.

    Compresses the images of the folder --data at every quality that params.yaml's `evaluate` names, asks MODEL about
    them, and holds the answers against the lines of `gate`: accuracies pass on the lower bound of their interval. The
    model need not be one of this project's: of a file that was made elsewhere, say how its pixels are normalised.

    The exit status is 0 if every line passes, and else 1.
    """
    with readable_errors():
        from fct.core.files import write_json, write_text
        from fct.evaluate import gate as of
        from fct.evaluate.junit import junit
        from fct.evaluate.model import open_foreign
        from fct.judge import judge, read_names

        how = {"normalise": told.pop("normalise"), "layout": told.pop("layout")}
        champion, names = told.pop("champion"), told.pop("classes")
        found = judge(
            open_foreign(model, **how),
            champion=open_foreign(champion, **how) if champion else None,
            classes=read_names(names) if names else None,
            **told,
        )
        click.echo(of.table(found, colour=of.wants_colour(sys.stdout)))
        for name, why in found["left_out"].items():
            click.echo(f"left out: {name}: {why}")
        if to_json:
            write_json(to_json, found)
        if to_junit:
            write_text(to_junit, junit(found))
    sys.exit(found["verdict"] != "PASS")


@main.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="model/model.onnx",
    show_default=True,
    metavar="MODEL",
    help="An .onnx file, or of the registered model: champion, challenger, previous, or a version's number.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the probability of every class.")
def predict(paths: tuple[Path, ...], model: str, *, as_json: bool) -> None:
    """Say what a model sees in image files, and how hard they were compressed.

    Reads JPEG, PNG, WebP, AVIF, BMP and TIFF; of a folder, every file in it. Images are turned upright as their EXIF
    data say and resized as in training. The quality is told from a JPEG's own tables (100 for all else), and a model
    with residual mapping blocks is told of it. Where it lies below every quality in the training, a note says so.

    A file that cannot be used has its reason in its place, and the exit status is then 1.
    """
    with readable_errors():
        from fct import predict as of

        failed = False
        files = of.files_of(paths)
        with of.opened(model) as classifier:
            if not as_json:
                click.echo(of.header())
            for file, answer in _with_progress(of.answers(classifier, files), len(files)):
                failed |= answer.error is not None
                said = json.dumps({"file": str(file)} | answer.as_json()) if as_json else of.row(file, answer)
                click.echo(said)
    sys.exit(failed)


@main.command()
@click.argument("model", required=False)
@click.option("--size", type=click.IntRange(8, 4096), help="Pixels; those of the data in data/splits if absent, or 32.")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Likewise, or 3.")
@click.option("--width", type=click.IntRange(4, 512), help="Of the own networks; model.width if absent.")
@click.option("--all", "every", is_flag=True, help="Every module, not the outer ones alone, down to the stages.")
def layers(model: str | None, *, size: int | None, channels: str | None, width: int | None, every: bool) -> None:
    """List the inner layers of MODEL, or of params.yaml's model.

    Their names are what method.layers, method.block.layers and features.layers take. Beside each: the shape of its
    output for one image, its parameters, those that a residual mapping block behind it would add, as params.yaml's
    method.block has it, and whether it is one of the stages that the model is divided into: the first to try.

    Models: resnet8, resnet20, resnet56, speednet, torchvision's by name, and timm's after timm/.
    """
    with readable_errors():
        from fct.layers import table

        click.echo(table(model, size=size, channels=int(channels) if channels else None, width=width, every=every))


@main.group()
def recipe() -> None:
    """Named configurations: which training for which need.

    `recipe: NAME` in params.yaml selects one; what it names takes the place of the file's own values.
    """


@recipe.command(name="list")
def list_recipes() -> None:
    """List the recipes, one a line."""
    with readable_errors():
        from fct import recipes

        known = recipes.names()
        for name in known:
            click.echo(f"{name:<{max(map(len, known))}}  {recipes.read(name).title}")


@recipe.command()
@click.argument("name")
def show(name: str) -> None:
    """Say what the recipe NAME is for, and what it sets."""
    with readable_errors():
        from fct import recipes
        from fct.core.params import as_yaml
        from fct.methods.params import WITH_CONSISTENCY

        told = recipes.read(name)
        click.echo(f"{told.title}\n\n{told.use}\n{as_yaml(told.params)}", nl=False)
        if told.params.get("method", {}).get("name") in WITH_CONSISTENCY:
            click.echo(
                "# The search may change weight, layers, distance and gradient; with search.trials: 1 they stay."
            )


def _with_progress(things: Iterable[Thing], count: int) -> Iterator[Thing]:
    """Yield `things`, under a bar where there are many and what is printed goes elsewhere than to the terminal."""
    if count == 1 or sys.stdout.isatty():
        yield from things
        return
    from tqdm import tqdm

    yield from tqdm(things, total=count, unit="image", disable=None)


def _unproven_champion() -> bool:
    """Say how the registry stands, and return whether its champion is unproven."""
    from fct import registry
    from fct.core.errors import FctError
    from fct.registry import words

    try:
        name, state = registry.status()
    except FctError as error:
        click.echo(f"registry: not looked at: {error}", err=True)
        return False
    is_unproven = state.champion is not None and not state.is_proven
    click.echo(f"registry, {name}: {words.UNPROVEN.strip() if is_unproven else 'whole'}")
    return is_unproven
