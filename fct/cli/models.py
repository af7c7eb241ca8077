"""Commands about one model: report, gate, predict, layers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fct.core.errors import exit_on_error

Thing = TypeVar("Thing")


@click.command()
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
    with exit_on_error():
        from tempfile import TemporaryDirectory

        from fct import registry
        from fct import report as of

        with TemporaryDirectory() as folder:
            path = of.build(of.models_beside(beside, Path(folder), champion=champion), out)
        click.echo(path)
        if attach:
            click.echo(registry.attach_to_run(path))
        if opens if opens is not None else sys.stdout.isatty():
            click.launch(path.resolve().as_uri())


@click.command()
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
    with exit_on_error():
        from fct.cli.judge import judge_folder, read_names
        from fct.core.files import write_json, write_text
        from fct.evaluate.model import open_foreign_model
        from fct.gate import checks as of
        from fct.gate.junit import junit

        how = {"normalise": told.pop("normalise"), "layout": told.pop("layout")}
        champion, names = told.pop("champion"), told.pop("classes")
        found = judge_folder(
            open_foreign_model(model, **how),
            champion=open_foreign_model(champion, **how) if champion else None,
            classes=read_names(names) if names else None,
            **told,
        )
        click.echo(of.format_verdict(found, colour=of.wants_colour(sys.stdout)))
        for name, why in found["left_out"].items():
            click.echo(f"left out: {name}: {why}")
        if to_json:
            write_json(to_json, found)
        if to_junit:
            write_text(to_junit, junit(found))
    sys.exit(found["verdict"] != "PASS")


@click.command()
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
    data say and resized as in training. The quality is told from a JPEG's own tables (none for all else), and a model
    with residual mapping blocks is told of it. Where it lies below every quality in the training, a note says so.

    A file that cannot be used has its reason in its place, and the exit status is then 1.
    """
    with exit_on_error():
        from fct.cli import predict as of

        failed = False
        files = of.list_files(paths)
        with of.open_classifier(model) as classifier:
            if not as_json:
                click.echo(of.format_header())
            for file, answer in _with_progress(of.classify_files(classifier, files), len(files)):
                failed |= answer.error is not None
                said = json.dumps({"file": str(file)} | answer.as_json()) if as_json else of.format_row(file, answer)
                click.echo(said)
    sys.exit(failed)


@click.command()
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
    with exit_on_error():
        from fct.cli.layers import format_layers

        click.echo(
            format_layers(model, size=size, channels=int(channels) if channels else None, width=width, every=every)
        )


def _with_progress(things: Iterable[Thing], count: int) -> Iterator[Thing]:
    """Yield `things`, under a bar where there are many and what is printed goes elsewhere than to the terminal."""
    if count == 1 or sys.stdout.isatty():
        yield from things
        return
    from tqdm import tqdm

    yield from tqdm(things, total=count, unit="image", disable=None)
