"""`fct gate` reads models that were made elsewhere as they need it, and says when another way answers better."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from fct import cli
from fct.evaluate.preprocessing import PRESETS

PARAMS = """
jpeg: {subsampling: "4:2:0"}
evaluate: {qualities: [90], unseen: [], batch_size: 16, confidence: 0.95}
gate:
  - {slice: raw, metric: accuracy, at_least: 0.8}
  - {slice: mean, metric: ece, at_most: 1}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Stand in a folder with params.yaml, reddish and bluish images, and dark and bright ones."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    rng = np.random.default_rng(0)
    colours = {"red": (160, 60, 60), "blue": (60, 60, 160)}
    greys = {"a-dark": (60, 60, 60), "bright": (190, 190, 190)}
    for folder, classes in (("photos", colours), ("greys", greys)):
        for name, colour in classes.items():
            (tmp_path / folder / name).mkdir(parents=True)
            for index in range(30):
                pixels = rng.integers(0, 40, (20 + index, 31, 3)) + colour
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / name / f"{index}.png")
    return tmp_path


def run(*arguments, data="photos"):
    return CliRunner().invoke(cli.main, ["gate", "theirs.onnx", "--data", data, *arguments])


@pytest.mark.parametrize(
    ("form", "options", "line"),
    [
        ({}, ["--preset", "torchvision"], "nchw rgb, imagenet, 9 -> 8 bilinear, logits"),
        ({"nhwc": True}, ["--preset", "keras"], "nhwc rgb, symmetric, stretched -> 8 bilinear, logits"),
        ({"dtype": "uint8"}, ["--preset", "timm"], "nchw rgb, bytes as they are, 9 -> 8 bicubic, logits"),
        ({"dtype": "float16"}, ["--normalise", "unit"], "nchw rgb, unit, centre square -> 8 bilinear, logits"),
        ({"heads": ["softmax"]}, ["--normalise", "unit"], "centre square -> 8 bilinear, probabilities"),
        ({"heads": ["percent"]}, ["--normalise", "unit"], "centre square -> 8 bilinear, probabilities"),
        ({"heads": ["label", "logits"]}, ["--normalise", "unit"], "bilinear, logits of logits"),
        ({"heads": ["features", "softmax"]}, ["--normalise", "unit", "--set", "output=softmax"], "ties of softmax"),
        ({"heads": ["background"]}, ["--normalise", "unit", "--set", "background=true"], "without class 0, the back"),
    ],
    ids=["preset", "nhwc", "uint8", "float16", "softmax", "percent", "label too", "features too", "background"],
)
@pytest.mark.usefixtures("shop")
def test_every_form_is_judged_and_said(save_foreign, form, options, line):
    """A good model passes whatever its form, without a warning, and one line says how it was read."""
    save_foreign(**form)
    done = run(*options)
    assert done.exit_code == 0, done.output
    assert line in next(text for text in done.stderr.splitlines() if text.startswith("theirs.onnx is read as: "))
    assert "warning" not in done.stderr


@pytest.mark.parametrize("head", ["label", "column"])
@pytest.mark.usefixtures("shop")
def test_labels_are_judged_without_their_calibration(save_foreign, head):
    """A label is right or wrong, but has no probability: the line about ece is left out, and the output says so."""
    save_foreign(heads=[head])
    done = run("--normalise", "unit")
    assert done.exit_code == 0, done.output
    assert "left out: mean_ece: a label has no probability" in done.stdout


def test_channels_in_the_wrong_order_are_noticed(shop, save_foreign):
    """The verdict is about what was asked, and a warning says which order answers better."""
    save_foreign()
    done = run("--normalise", "unit", "--set", "channels=bgr", "--json", "verdict.json")
    assert done.exit_code == 1
    warning = "with rgb instead of bgr, accuracy on 60 raw images is 1.00 instead of 0.00: check channels"
    assert f"warning: {warning}\n" in done.stderr
    assert "warning: accuracy on 60 raw images is 0, no better than chance (0.5): check the order" in done.stderr
    assert json.loads((shop / "verdict.json").read_text())["warnings"][0] == warning


@pytest.mark.usefixtures("shop")
def test_a_wrong_normalisation_is_noticed(save_foreign):
    """A model of -1..1 that gets 0..1 takes all images for bright."""
    save_foreign(bright=True)
    done = run("--normalise", "unit", data="greys")
    assert "warning: with symmetric instead of unit, accuracy on 60 raw images is 1.00 instead of 0.50" in done.stderr


def test_a_crop_that_loses_the_object_is_noticed(shop, save_foreign):
    """Where the class is at the left and right, a crop of the centre cannot see it."""
    for name, channel in (("red", 0), ("blue", 2)):
        (shop / "wide" / name).mkdir(parents=True)
        for index in range(30):
            pixels = np.full((10, 30, 3), 100 + index, np.uint8)
            pixels[:, [*range(8), *range(22, 30)], channel] = 250
            Image.fromarray(pixels).save(shop / "wide" / name / f"{index}.png")
    save_foreign()
    done = run("--normalise", "unit", data="wide")
    assert "warning: with the whole image stretched, accuracy on 60 raw images is 1.00" in done.stderr
    assert run("--normalise", "unit", "--set", "stretch=true", data="wide").exit_code == 0


def test_natural_order_is_thought_of(shop, save_foreign):
    """Folders are sorted as text; a model that was trained on numbers in order has 10 after 9."""
    (shop / "photos/blue").rename(shop / "photos/9")
    (shop / "photos/red").rename(shop / "photos/10")
    save_foreign()
    done = run("--normalise", "unit")
    assert "warning: with the classes in natural order (2 before 10), accuracy on 60 raw images is 1.00" in done.stderr


def test_a_champion_of_this_project_is_read_its_own_way(shop, save_foreign, colour_model):
    """A preset is for the foreign model; the champion gets the same files, fitted as this project does."""
    (shop / "params.yaml").write_text(PARAMS + "  - {slice: mean, metric: accuracy, champion: 0.3}\n")
    colour_model(metadata={"fct.classes": ["red", "green", "blue"]})
    save_foreign(heads=["background"])  # three outputs, of which the first is never largest
    (shop / "names.txt").write_text("green\nblue\nred\n")
    done = run("--preset", "keras", "--set", "layout=nchw", "--classes", "names.txt", "--champion", "colours.onnx")
    assert "colours.onnx has 3: red, green, blue" in done.stderr  # in another order
    colour_model(metadata={"fct.classes": ["green", "blue", "red"]})
    done = run("--preset", "keras", "--set", "layout=nchw", "--classes", "names.txt", "--champion", "colours.onnx")
    assert "mean_accuracy_vs_champion" in done.stdout
    assert "colours.onnx is read as" not in done.stderr


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        (
            {"heads": ["features", "softmax"]},
            [],
            (
                "its outputs are features float32 [3], softmax float32 [2]. "
                "Say which has the scores of the classes: --set output=features or --set output=softmax."
            ),
        ),
        ({}, ["--set", "output=probs"], "probs cannot be judged. Its outputs are logits float32 [2]."),
        ({}, ["--set", "scale=labels"], "One that can be judged as labels has"),
        ({}, ["--set", "scale=probabilities"], None),
        ({"heads": ["background"]}, [], "If class 0 of the model is the background, give --set background=true."),
        ({"nhwc": True}, ["--layout", "nchw"], "the input is nhwc. Give this to --layout instead of nchw."),
        ({}, ["--size", "16"], "its images are 8 x 8 pixels. Leave out --size"),
    ],
    ids=["several outputs", "no such output", "no label", "negative", "background", "layout", "size"],
)
@pytest.mark.usefixtures("shop")
def test_what_cannot_be_is_an_error(save_foreign, form, options, message):
    """The error says what the file has and which key to give; nothing is judged."""
    save_foreign(**form, bright=message is None)
    done = run("--normalise", "symmetric", *options, data="greys" if message is None else "photos")
    assert done.exit_code == 2, done.output
    assert (message or "theirs.onnx: The output logits has the value -") in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"author", r"b'autho\xfc' in its metadata is not UTF-8. Export the model again."),
        (b"pixels", r"the name b'pixel\xfc' in it is not UTF-8. Export the model again."),
        (b"logits", r"the name b'logit\xfc' in it is not UTF-8. Export the model again."),
    ],
)
@pytest.mark.usefixtures("shop")
def test_text_that_is_not_utf8_is_an_error(save_foreign, text, message):
    """Some exporters write names in the encoding of their system."""
    path = save_foreign()
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"author": "Ada"})
    path.write_bytes(model.SerializeToString().replace(text, text[:-1] + b"\xfc"))
    done = run("--normalise", "unit")
    assert done.exit_code == 2, done.output
    assert f"theirs.onnx: {message}" in done.stderr


def test_a_background_label_is_never_right(shop, save_foreign):
    """Label 0 is the background, so that blue images have no right answer, and red ones, label 1, are class 0."""
    save_foreign(heads=["label"])
    done = run("--normalise", "unit", "--set", "background=true", "--json", "verdict.json")
    assert done.exit_code == 1
    assert json.loads((shop / "verdict.json").read_text())["checks"][0]["value"] == 0


def test_this_projects_files_are_not_doubted(shop, colour_model):
    """A file of this project says itself how it is read: what is wrong is said, and no other way is tried."""
    colour_model(metadata={"fct.classes": ["blue", "green", "red"]}).rename(shop / "theirs.onnx")
    done = run("--json", "verdict.json")
    assert done.exit_code == 1  # its first class is red, whatever it says
    assert "read as" not in done.stderr
    assert [warning[:39] for warning in json.loads((shop / "verdict.json").read_text())["warnings"]] == [
        "accuracy on 60 raw images is 0, no bett"
    ]


def test_help_names_every_preset():
    """The presets are listed where people look for them."""
    text = " ".join(run("--help").output.split())
    assert all(name in text for name in PRESETS)
