"""Commands about one model: report, gate, predict, layers, weights, spread."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from fct.cli.output import OUTPUT
from fct.core.errors import WRONG_USE, exit_on_error

Item = TypeVar("Item")


@click.command()
@click.option(
    "--out",
    default="report.html",
    show_default=True,
    type=OUTPUT,
    help="File to write the page to.",
)
@click.option("--champion/--no-champion", default=True, help="Show the champion's predictions for the same images too.")
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME=FILE",
    help="Another ONNX file to show beside the model, such as mine=a.onnx. May be repeated.",
)
@click.option("--attach", is_flag=True, help="Attach the page to the MLflow run that made the model.")
@click.option(
    "--open/--no-open", "opens", default=None, help="Open the page in a browser. On a terminal this is the default."
)
def report(*, out: Path, champion: bool, beside: tuple[str, ...], attach: bool, opens: bool | None) -> None:
    """Make one HTML page about the model: verdict, accuracy by quality and class, unseen distortions, examples.

    Reads the results of `dvc repro`. Two other models predict the same test images for comparison: the champion, if
    there is one, and the same network trained on raw images alone (the stage `baseline`). The page is one file that
    loads nothing from elsewhere: mail it, print it, read it on a phone.
    """
    with exit_on_error():
        from tempfile import TemporaryDirectory

        from fct import registry
        from fct.report import build, models_beside

        with TemporaryDirectory() as folder:
            path = build(models_beside(beside, Path(folder), champion=champion), out)
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
    help="Folder of images to judge the model on, with one sub-folder per class.",
)
@click.option(
    "--champion",
    type=click.Path(path_type=Path),
    help="ONNX file with the same classes as MODEL, for the lines of the gate that name a champion. The options about "
    "reading MODEL hold for it too, unless this project exported it.",
)
@click.option(
    "--params",
    show_default="params.yaml, or else the package's defaults",
    type=click.Path(path_type=Path),
    help="File with the sections jpeg, evaluate and gate.",
)
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with one class name per line, in the order of the model's outputs.",
)
@click.option(
    "--preset",
    metavar="NAME|FILE",
    help="What MODEL needs: torchvision, timm, keras, keras-caffe, efficientnet-lite, huggingface-vit, or a YAML file "
    "with keys of --set. The options below override it.",
)
@click.option(
    "--normalise",
    help="How float pixels are normalised: unit (0..1), symmetric (-1..1), imagenet, bytes (0..255), caffe (0..255 "
    "less ImageNet's mean), or mean/deviation on the scale 0..1.",
)
@click.option(
    "--layout", type=click.Choice(["nchw", "nhwc"]), help="Order of the axes, if the input's shape leaves it open."
)
@click.option(
    "--size", type=click.IntRange(8, 4096), help="Height and width in pixels, if the input's shape leaves them open."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Anything else that MODEL needs; may be repeated. shorter=256: scale the shorter side, then crop. crop=0.875: "
    "the same as a ratio. stretch=true: scale both sides. interpolation=bicubic. channels=bgr. output=NAME: the one to "
    "judge. scale=logits, probabilities or labels. background=true: class 0 is none of the images' classes.",
)
@click.option("--json", "to_json", type=OUTPUT, help="Write the verdict to this file.")
@click.option(
    "--junit",
    "to_junit",
    type=OUTPUT,
    help="Write the verdict to this file as JUnit XML, for CI servers.",
)
def gate(model: Path, *, to_json: Path | None, to_junit: Path | None, **options: Any) -> None:
    """Judge any ONNX image classifier by its accuracy on compressed images.

    Compresses the images of the folder --data at every quality in params.yaml's `evaluate.qualities` and lets MODEL
    predict them. Compares the results with the lines of `gate`: the lower bound of an accuracy's interval must reach
    the threshold.

    MODEL may come from elsewhere. Say with --preset, --normalise or --set what its file does not say. stderr shows
    how such a MODEL is read, and warns if it is more accurate when read in another way, or if any MODEL is no better
    than chance. The verdict is about your way.

    The exit status is 0 if every line passes, 1 if one fails, and 2 if the model cannot be judged.
    """
    with exit_on_error():
        from fct.cli.judge import judge_folder, read_names
        from fct.core.files import write_json, write_text
        from fct.evaluate.model import open_foreign_model
        from fct.evaluate.preprocessing import read_options
        from fct.gate.checks import format_verdict, wants_colour
        from fct.gate.junit import junit

        wanted = read_options(
            options.pop("preset"),
            {"normalise": options.pop("normalise"), "layout": options.pop("layout"), "size": options["size"]},
            options.pop("assignments"),
        )
        champion, names_file = options.pop("champion"), options.pop("classes")
        verdict = judge_folder(
            open_foreign_model(model, wanted),
            champion=open_foreign_model(champion, wanted) if champion else None,
            params_file=options.pop("params"),
            classes=read_names(names_file) if names_file else None,
            **options,
        )
        click.echo(format_verdict(verdict, colour=wants_colour(sys.stdout)))
        for name, reason in verdict["left_out"].items():
            click.echo(f"left out: {name}: {reason}")
        for warning in verdict["warnings"]:
            click.echo(f"warning: {warning}", err=True)
        if to_json:
            write_json(to_json, verdict)
        if to_junit:
            write_text(to_junit, junit(verdict))
    sys.exit(verdict["verdict"] != "PASS")


@click.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    default="model/model.onnx",
    show_default=True,
    metavar="MODEL",
    help="A file whose name ends in .onnx, or a registered version: champion, challenger, previous, or a number.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line, with the probability of every class."
)
def predict(paths: tuple[Path, ...], model: str, *, as_json: bool) -> None:
    """Classify image files, and show the JPEG quality of each.

    Reads JPEG, PNG, WebP, AVIF, BMP and TIFF files, and every file of a folder but READMEs. Images are turned upright
    by their EXIF data and resized as in training. The quality is read from a JPEG's tables; other formats have none. A
    model with residual mapping blocks uses it. A note marks images below every quality of the training.

    For a file that cannot be used, the reason is printed instead, and the exit status is 2.
    """
    with exit_on_error():
        from fct.cli.predict import classify_files, format_header, format_row, list_files, open_classifier

        failed = False
        files = list_files(paths)
        with open_classifier(model) as classifier:
            if not as_json:
                click.echo(format_header())
            for file, prediction in _with_progress(classify_files(classifier, files), len(files)):
                failed |= prediction.error is not None
                if as_json:
                    click.echo(json.dumps({"file": str(file)} | prediction.as_json()))
                else:
                    click.echo(format_row(file, prediction))
    sys.exit(WRONG_USE if failed else 0)


@click.command()
@click.argument("model", required=False)
@click.option(
    "--size",
    type=click.IntRange(8, 4096),
    help="Height and width of the images in pixels. Default: those in data/splits, or else 32.",
)
@click.option(
    "--channels",
    type=click.Choice(["1", "3"]),
    help="Channels of the images. Default: those in data/splits, or else 3.",
)
@click.option(
    "--width", type=click.IntRange(4, 512), help="Width of this project's own networks. Default: model.width."
)
@click.option(
    "--all", "every", is_flag=True, help="List every module, not only the stages and the modules around them."
)
def layers(model: str | None, *, size: int | None, channels: str | None, width: int | None, every: bool) -> None:
    """List the inner layers of MODEL, or of params.yaml's model.

    method.layers, method.block.layers and features.layers take these names. The table shows for each layer the shape
    of its output for one image, its parameters, and the parameters that a residual mapping block behind it would add
    (configured by method.block). It marks the stages of the model: try those first. If a model has many blocks, it
    marks the last one before each change of resolution, or four that are evenly spread.

    Models: resnet8, resnet20, resnet56, speednet, torchvision's by name, and timm's after timm/.
    """
    with exit_on_error():
        from fct.cli.layers import format_layers

        click.echo(
            format_layers(model, size=size, channels=int(channels) if channels else None, width=width, every=every)
        )


@click.command()
@click.argument("model")
def weights(model: str) -> None:
    """Say where published weights of MODEL are, and how they are used.

    MODEL is a name of torchvision, such as resnet18, or of timm, such as timm/tf_efficientnet_lite0. Prints the file to
    put into weights/, its licence where it is known, and the size and normalisation that it was trained with.
    """
    with exit_on_error():
        from fct.cli.weights import describe_weights

        for line in describe_weights(model):
            click.echo(line)


@click.command()
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True, help="Number of trainings.")
def spread(*, seeds: int) -> None:
    """Show how much the model's values differ between trainings.

    A verdict is about one training. Another seed gives another model, and more images do not show how different it is.
    This command trains the configuration that the search chose with `train.seed` and the seeds after it. It measures
    each model by the lines of the gate, and prints mean, deviation and range. It takes as long as that many trainings.
    It keeps the results in .fct/spread, so you can continue after a kill, and add seeds later. The pipeline's files do
    not change, and neither do the teacher and the search's choice.
    """
    with exit_on_error():
        from fct.core.params import load
        from fct.spread.measure import measure_trainings
        from fct.spread.params import Params
        from fct.spread.table import format_spread

        params = load(Params)
        first = params.train.seed
        click.echo(format_spread(measure_trainings(params, seeds), params.evaluate.confidence))
        seeds_range = f"seeds {first} to {first + seeds - 1}"
        click.echo(f"{seeds} trainings, {seeds_range}, on this machine. A verdict is about one of them.")


def _with_progress(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield `items`; show a progress bar if there are several and the output goes to a file or a pipe."""
    if count == 1 or sys.stdout.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, total=count, unit="image", disable=None)
