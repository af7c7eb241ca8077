"""`fct gate` judges any ONNX classifier on a folder of images."""

import errno
import json
import os
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fct import cli
from fct.core import files

PARAMS = """
jpeg: {subsampling: "4:2:0"}
evaluate: {qualities: [10, 90], unseen: [blur], unseen_images: null, batch_size: 16, confidence: 0.95}
gate:
  - {slice: raw, metric: accuracy, at_least: 0.5}
  - {slice: worst, metric: accuracy, at_least: 0.5}
  - {slice: unseen, metric: accuracy, at_least: 0.5}
  - {metric: file_mib, at_most: 1}
"""


def save(
    path,
    *,
    dtype=TensorProto.FLOAT,
    channels_last=False,
    batch="B",
    size=8,
    channels=3,
    sign=1.0,
    shares=False,
    classes=None,
):
    """Write a classifier of red against blue images: its logits are the means of these channels, times `sign`.

    With `classes` it is a file of this project's.
    """
    pixels, logits, dtype = ("image", "logits", TensorProto.UINT8) if classes else ("pixels", "said", dtype)
    axes, channel = ([1, 2], 1) if channels_last else ([2, 3], 1)
    shape = [batch, size, size, channels] if channels_last else [batch, channels, size, size]
    nodes = [
        helper.make_node("Cast", [pixels], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scores"]),
        helper.make_node("Softmax" if shares else "Identity", ["scores"], [logits]),
    ]
    assert channel == 1
    weights = np.zeros((channels, 2), np.float32)
    weights[0, 1] = weights[2, 0] = sign  # blue comes before red
    constants = {"axes": np.array(axes), "weights": weights}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(pixels, dtype, shape)],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [batch, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"fct.classes": json.dumps(classes)} if classes else {})
    onnx.save(model, path)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Stand in a folder with params.yaml and 40 reddish and bluish photographs of odd sizes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    rng = np.random.default_rng(0)
    for index in range(40):
        name, strong = ("red", 0) if index % 2 else ("blue", 2)
        pixels = rng.integers(0, 120, (20 + index, 31, 3), np.uint8)
        pixels[..., strong] += 100
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.jpg", quality=95)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.main, ["gate", *arguments])


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ({}, ["--normalise", "imagenet"]),
        ({}, ["--normalise", "0.5/0.25"]),
        ({"channels_last": True}, ["--normalise", "unit"]),
        ({"dtype": TensorProto.UINT8}, []),
        ({"batch": 7}, ["--normalise", "bytes"]),
        ({"shares": True}, ["--normalise", "symmetric"]),
        ({"size": "S"}, ["--normalise", "unit", "--size", "16"]),
    ],
    ids=["imagenet", "numbers", "nhwc", "bytes", "fixed batch", "probabilities", "any size"],
)
def test_files_made_elsewhere_are_judged(shop, form, options):
    """A good model passes with status 0, whatever layout, type, batch size and outputs its exporter chose."""
    save(shop / "theirs.onnx", **form)
    done = run("theirs.onnx", "--data", "photos", *options)
    assert done.exit_code == 0, done.output
    assert "gate: PASS on 40 images" in done.output


def test_a_bad_model_fails_with_status_one(shop):
    """A model that confuses the two colours fails every line that is about images."""
    save(shop / "theirs.onnx", sign=-1)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert done.exit_code == 1
    assert [line.split()[-1] for line in done.output.splitlines()[1:5]] == ["FAIL", "FAIL", "FAIL", "PASS"]


def test_classes_may_come_in_another_order(shop):
    """A file with a name a line says which output is which."""
    save(shop / "theirs.onnx", sign=-1)
    (shop / "names.txt").write_text("red\nblue\n")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert done.exit_code == 0, done.output


def test_a_line_over_trainings_is_left_out(shop):
    """Of a file from elsewhere no other training is known, and the output says so; the other lines are judged."""
    line = "  - {slice: raw, metric: accuracy, at_least: 0.5, over: trainings}\n"
    (shop / "params.yaml").write_text(PARAMS + line)
    save(shop / "theirs.onnx")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "left out: raw_accuracy_over_trainings: trainings of a foreign model are not known" in done.output
    assert done.exit_code == 0


def test_an_image_that_would_become_too_large_is_named(shop):
    """A column of one pixel, 40 pixels wide, would have 100 million."""
    save(shop / "theirs.onnx")
    Image.new("RGB", (1, 65_500)).save(shop / "photos/red/column.png")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--set", "shorter=40")
    assert done.exit_code == 2
    assert "red/column.png: too long and narrow: 1 x 65,500 pixels would be scaled to 40 x 2,620,000" in done.output


def test_a_champion_is_compared_with(shop):
    """With --champion its lines are judged; without it they are left out, and the output says so."""
    line = "  - {slice: mean, metric: accuracy, champion: 0.1}\n"
    (shop / "params.yaml").write_text(PARAMS + line)
    save(shop / "theirs.onnx")
    arguments = ("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "left out: mean_accuracy_vs_champion: there is no --champion" in run(*arguments).output
    done = run(*arguments, "--champion", "theirs.onnx")
    assert "mean_accuracy_vs_champion" in done.output
    assert "left out" not in done.output
    assert done.exit_code == 0


def test_a_champion_that_no_line_needs_is_left_out(shop):
    """The output says so: otherwise the verdict would look like a comparison."""
    save(shop / "theirs.onnx")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--champion", "theirs.onnx")
    assert "left out: --champion: no line that is judged names a champion" in done.output
    assert done.exit_code == 0


def test_a_champion_of_other_classes_is_refused(shop):
    """Its predictions would be compared with the wrong labels."""
    line = "  - {slice: mean, metric: accuracy, champion: 0.1}\n"
    (shop / "params.yaml").write_text(PARAMS + line)
    save(shop / "theirs.onnx")
    save(shop / "champion.onnx", classes=["red", "blue"])
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--champion", "champion.onnx")
    assert done.exit_code == 2
    assert "champion.onnx has 2: red, blue; theirs.onnx has 2: blue, red." in done.output


def test_a_model_that_also_takes_the_quality_is_refused(shop, echo):
    """The error says how a fct.QualityAware is exported for the gate."""
    assert shop
    done = run(str(echo), "--data", "photos", "--normalise", "unit")
    assert done.exit_code == 2
    assert "quality tensor(int64)" in done.stderr
    assert "Export a fct.QualityAware with its image alone, without the quality.\n" in done.stderr


def test_images_of_four_channels_are_refused(shop):
    """A folder's images are grey or RGB."""
    save(shop / "theirs.onnx", channels=4)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--layout", "nchw")
    assert done.exit_code == 2
    assert "its images have 4 channels. Only grey images (1) and RGB images (3)" in done.output


def test_without_params_the_thresholds_are_the_packages(shop):
    """Outside a pipeline the default gate judges, and stderr says whose thresholds these are."""
    (shop / "params.yaml").unlink()
    save(shop / "theirs.onnx")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "gate: FAIL on 40 images" in done.stdout
    assert done.stderr.startswith("params.yaml is not here. ")
    assert (
        "defaults.yaml is used. Its thresholds are for Fashion-MNIST. Choose yours with --params FILE.\n" in done.stderr
    )


def test_a_file_of_params_that_is_missing_is_an_error(shop):
    """What --params names is not replaced by anything."""
    save(shop / "theirs.onnx")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--params", "mine.yaml")
    assert done.exit_code == 2
    assert done.stderr == "error: mine.yaml is not here.\n"


def test_programs_read_json_and_junit(shop):
    """The JSON holds the verdict; the XML has one test case per check, and a failed check is a failure."""
    save(shop / "theirs.onnx")
    (shop / "params.yaml").write_text(PARAMS.replace("file_mib, at_most: 1", "file_mib, at_most: 0"))
    run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--json", "verdict.json", "--junit", "verdict.xml")
    verdict = json.loads((shop / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["split"]["name"], verdict["split"]["images"]) == ("FAIL", "photos", 40)
    suite = ET.parse(shop / "verdict.xml").getroot()  # our own
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    assert [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None] == ["file_mib"]


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        ({}, [], "Say how they are normalised"),
        ({}, ["--normalise", "somehow"], "normalise: neither unit, symmetric"),
        ({"size": 3}, ["--normalise", "unit"], "Give --layout"),
        ({"size": "S"}, ["--normalise", "unit"], "Choose one with --size"),
    ],
)
def test_the_option_for_a_missing_fact_is_named(shop, form, options, message):
    """If the model file leaves something open, one line names the option that gives it."""
    save(shop / "theirs.onnx", **form)
    done = run("theirs.onnx", "--data", "photos", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_images_that_cannot_be_used_are_named(shop):
    """An error names the broken file."""
    save(shop / "theirs.onnx")
    (shop / "photos/red/x.jpg").write_bytes(b"broken")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "red/x.jpg: not a JPEG" in done.stderr


def test_a_class_that_the_model_does_not_know_is_named(shop):
    """A sub-folder whose name is no class of the model is refused."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_text("red\ngreen\n")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert "photos/blue: the model has no such class. It has red, green." in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"red\nblue\nred\n", "red appears more than once"),
        ("café".encode("latin-1"), "the file is not UTF-8 text"),
    ],
    ids=["empty", "twice", "latin-1"],
)
def test_a_file_of_classes_that_cannot_be_used_is_named(shop, content, message):
    """The file must hold names as UTF-8 text, each name once."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_bytes(content)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert (done.exit_code, done.exception.__class__) == (2, SystemExit)
    assert f"error: --classes names.txt: {message}." in done.output


def test_spaces_and_empty_lines_are_no_classes(shop):
    """Editors leave spaces, empty lines and a byte order mark; none of them is part of a name."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_bytes(b"\xef\xbb\xbfblue \nred\n\n")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert done.exit_code == 0, done.output


def test_a_models_own_classes_are_not_overruled(shop):
    """Names in another order than in the model file are refused: they would exchange its predictions."""
    save(shop / "ours.onnx", classes=["blue", "red"])
    (shop / "names.txt").write_text("red\nblue\n")
    done = run("ours.onnx", "--data", "photos", "--classes", "names.txt")
    assert done.exit_code == 2
    assert "ours.onnx names its classes itself: blue, red. Leave out --classes." in done.output


def test_a_verdict_is_seen_also_where_it_cannot_be_written(shop, monkeypatch):
    """The table is printed before the error about the file, such as one on a disk that filled up meanwhile."""
    save(shop / "theirs.onnx")

    def fill(path, _verdict):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(files, "write_json", fill)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--json", "verdict.json")
    assert done.exit_code == 2
    assert "gate: PASS on 40 images" in done.output
    assert "error: The disk is full: verdict.json." in done.output


def test_a_model_of_this_project_that_guesses_is_told(shop):
    """Its file says how it is read, so the images are what to check."""
    save(shop / "ours.onnx", sign=-1, classes=["blue", "red"])
    done = run("ours.onnx", "--data", "photos")
    assert "warning: accuracy on 40 raw images is 0, no better than chance (0.5): check that the images" in done.stderr


@pytest.mark.parametrize("option", ["--json", "--junit"])
@pytest.mark.parametrize(("target", "reason"), [("photos", "is a folder"), ("names.txt/a", "is a file")])
def test_what_cannot_be_written_is_told_before_the_measurement(shop, option, target, reason):
    """The error names the option, and the model is not even opened."""
    (shop / "names.txt").write_text("")
    done = run("gone.onnx", "--data", "photos", option, target)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.stderr
    assert reason in done.stderr
