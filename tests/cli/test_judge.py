"""`fct gate` judges any ONNX classifier on a folder of images."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fct import cli

PARAMS = """
jpeg: {subsampling: "4:2:0"}
evaluate: {qualities: [10, 90], unseen: [blur], batch_size: 16, resamples: 200, confidence: 0.95, seed: 0}
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
    given, said, dtype = ("image", "logits", TensorProto.UINT8) if classes else ("pixels", "said", dtype)
    axes, channel = ([1, 2], 1) if channels_last else ([2, 3], 1)
    shape = [batch, size, size, channels] if channels_last else [batch, channels, size, size]
    nodes = [
        helper.make_node("Cast", [given], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["scores"]),
        helper.make_node("Softmax" if shares else "Identity", ["scores"], [said]),
    ]
    assert channel == 1
    weights = np.zeros((channels, 2), np.float32)
    weights[0, 1] = weights[2, 0] = sign  # blue comes before red
    constants = {"axes": np.array(axes), "weights": weights}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(given, dtype, shape)],
        [helper.make_tensor_value_info(said, TensorProto.FLOAT, [batch, 2])],
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
    ("how", "told"),
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
def test_files_made_elsewhere_are_judged(shop, how, told):
    """Layouts, types, batches and outputs of others' exporters: a good model passes, with status 0."""
    save(shop / "theirs.onnx", **how)
    done = run("theirs.onnx", "--data", "photos", *told)
    assert done.exit_code == 0, done.output
    assert "gate: PASS on 40 images" in done.output


def test_a_bad_model_fails_with_status_one(shop):
    """A model that has the colours the wrong way round is told from a good one, in every line that is of images."""
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


def test_a_champion_is_held_against(shop):
    """With --champion its lines are judged; without it they are left out, and said to be."""
    line = "  - {slice: mean, metric: accuracy, champion: 0.1}\n"
    (shop / "params.yaml").write_text(PARAMS + line)
    save(shop / "theirs.onnx")
    asked = ("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "left out: mean_accuracy_vs_champion: there is no --champion" in run(*asked).output
    done = run(*asked, "--champion", "theirs.onnx")
    assert "mean_accuracy_vs_champion" in done.output
    assert "left out" not in done.output
    assert done.exit_code == 0


def test_a_champion_of_other_classes_is_refused(shop):
    """Its answers would be held against the wrong labels."""
    line = "  - {slice: mean, metric: accuracy, champion: 0.1}\n"
    (shop / "params.yaml").write_text(PARAMS + line)
    save(shop / "theirs.onnx")
    save(shop / "champion.onnx", classes=["red", "blue"])
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--champion", "champion.onnx")
    assert done.exit_code == 1
    assert "champion.onnx: its 2 classes are ['red', 'blue'], those of theirs.onnx are ['blue', 'red']" in done.output


def test_images_of_four_channels_are_refused(shop):
    """A folder's images are grey or RGB."""
    save(shop / "theirs.onnx", channels=4)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--layout", "nchw")
    assert done.exit_code == 1
    assert "it takes images of 4 channels; grey has 1, RGB 3" in done.output


def test_programs_read_json_and_junit(shop):
    """The verdict with file's and data's checksums, and a test case a check, the failed one a failure."""
    save(shop / "theirs.onnx")
    (shop / "params.yaml").write_text(PARAMS.replace("file_mib, at_most: 1", "file_mib, at_most: 0"))
    run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--json", "told.json", "--junit", "told.xml")
    told = json.loads((shop / "told.json").read_text())
    assert (told["verdict"], told["split"]["name"], told["split"]["images"]) == ("FAIL", "photos", 40)
    suite = ET.parse(shop / "told.xml").getroot()  # our own
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    assert [case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None] == ["file_mib"]


@pytest.mark.parametrize(
    ("how", "told", "said"),
    [
        ({}, [], "Say how they are normalised"),
        ({}, ["--normalise", "somehow"], "--normalise 'somehow' is neither"),
        ({"size": 3}, ["--normalise", "unit"], "give --layout"),
        ({"size": "S"}, ["--normalise", "unit"], "give --size"),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(shop, how, told, said):
    """One line, and the option that answers it."""
    save(shop / "theirs.onnx", **how)
    done = run("theirs.onnx", "--data", "photos", *told)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_images_that_cannot_be_used_are_named(shop):
    """A broken file is no evidence for anything."""
    save(shop / "theirs.onnx")
    (shop / "photos/red/x.jpg").write_bytes(b"broken")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit")
    assert "red/x.jpg: not a JPEG" in done.stderr


def test_a_class_that_the_model_does_not_know_is_named(shop):
    """Of more sub-folders than outputs nobody can say which is which."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_text("red\ngreen\n")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert "photos/blue: the model knows no such class. It knows red, green." in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"red\nblue\nred\n", "red stands in it more than once"),
        ("café".encode("latin-1"), "it is no UTF-8 text"),
    ],
    ids=["empty", "twice", "latin-1"],
)
def test_a_file_of_classes_that_cannot_be_used_is_named(shop, content, said):
    """Names are needed, each once, as text."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_bytes(content)
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert (done.exit_code, done.exception.__class__) == (1, SystemExit)
    assert f"error: --classes names.txt: {said}." in done.output


def test_spaces_and_empty_lines_are_no_classes(shop):
    """As editors leave them, with a byte order mark in front."""
    save(shop / "theirs.onnx")
    (shop / "names.txt").write_bytes(b"\xef\xbb\xbfblue \nred\n\n")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--classes", "names.txt")
    assert done.exit_code == 0, done.output


def test_a_models_own_classes_are_not_overruled(shop):
    """Names in another order than the file's own would exchange its answers."""
    save(shop / "ours.onnx", classes=["blue", "red"])
    (shop / "names.txt").write_text("red\nblue\n")
    done = run("ours.onnx", "--data", "photos", "--classes", "names.txt")
    assert done.exit_code == 1
    assert "ours.onnx says itself that its classes are ['blue', 'red']: leave --classes out." in done.output


def test_a_verdict_is_seen_also_where_it_cannot_be_written(shop):
    """The table comes first; then the file that cannot be, without a traceback."""
    save(shop / "theirs.onnx")
    done = run("theirs.onnx", "--data", "photos", "--normalise", "unit", "--json", "photos")
    assert done.exit_code == 1
    assert "gate: PASS on 40 images" in done.output
    assert "error: photos: Is a directory." in done.output
