"""Everything that can be said about params.yaml without data is said before the first stage computes."""

import json
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from fct.check.checks import Params, check
from fct.core.errors import FctError
from fct.core.params import DEFAULTS, load


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Check the defaults with some values changed."""
    monkeypatch.chdir(tmp_path)

    def run(**changed):
        content = YAML(typ="safe").load(DEFAULTS)
        for key, value in changed.items():
            *parents, last = key.split("__")
            node = content
            for parent in parents:
                node = node[int(parent) if parent.isdecimal() else parent]
            node[last] = value
        (tmp_path / "params.yaml").write_text(json.dumps(content))
        check(load(Params))

    return run


def test_the_defaults_fit(checked):
    """Without data, weights or a network that was trained."""
    checked()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model__name": "resnet9000"}, r"model\.name"),
        ({"model__name": "resnet18"}, r"stage3.*`fct layers`"),
        ({"method__target": "frozen-teacher"}, "frozen-teacher is called teacher now"),
        ({"search__targets": ["both"]}, "both is called raw now"),
        ({"method__target": "techer"}, "'techer' is not possible. Did you mean 'teacher'"),
        ({"method__layers": ["stage4"]}, r"method\.layers: .*stage4"),
        ({"method__block__layers": ["stage9"]}, r"method\.block\.layers: .*stage9"),
        ({"features__layers": ["stage4"]}, r"features\.layers: .*stage4"),
        ({"model__weights": "weights/none.pt"}, r"model\.weights: weights/none\.pt is not here"),
        ({"method__teacher": "weights/none.pt"}, r"method\.teacher: weights/none\.pt is not here"),
        (
            {"model__normalisation": {"mean": [0.5] * 3, "std": [0.5] * 3}},
            r"model\.normalisation: it has 3 values .* images have 1 channels",
        ),
        ({"train__crop_padding": 28}, r"train\.crop_padding: 28 pixels are too many for images of 28"),
        ({"search__targets": ["raw"], "method__target": "teacher"}, r"search\.targets: with raw, method\."),
        ({"search__layers": ["stage9"]}, r"search\.layers: no layer is called 'stage9'"),
        ({"search__block_layers": ["head"]}, r"search\.block_layers: 'head' returns a feature"),
        ({"evaluate__unseen": ["bgr", "webp", "double", "blur"]}, r"evaluate\.unseen: bgr changes only colours"),
        ({"evaluate__qualities": [5, 95], "gate__0__slice": "q10"}, r"'q10' is not measured"),
        ({"gate__0__over": "trainings"}, r"at least 2 .*spread\.trainings"),
    ],
)
def test_values_that_do_not_fit_each_other_are_named(checked, changed, message):
    """Each key alone; data that are not here yet are not asked for."""
    with pytest.raises(FctError, match=message):
        checked(**changed)


@pytest.mark.parametrize(
    ("key", "line", "value"),
    [
        ("model.name", "  name: speednet", "resnet9000"),
        ("model.weights", "  weights: null", "weights/none.pt"),
        ("method.teacher", "  teacher: baseline", "weights/none.pt"),
        ("method.layers", "  layers: [stage3, head]", "[stage4]"),
        ("method.block.layers", "    layers: [stage2, stage3]", "[stage9]"),
        ("features.layers", "  layers: [stage1, stage2, stage3]", "[stage4]"),
        ("search.layers", "  layers: null", "[stage9]"),
        ("train.freeze", "  freeze: []", "[stage9.*]"),
        ("train.optimiser", "  optimiser: sgd", "timm/lionn"),
        ("train.crop_padding", "  crop_padding: 2", "28"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_line(tmp_path, monkeypatch, key, line, value):
    """As one of a wrong type is."""
    monkeypatch.chdir(tmp_path)
    lines = DEFAULTS.read_text().splitlines()
    [number] = [number for number, text in enumerate(lines) if text.startswith(line)]
    lines[number] = f"{line.partition(':')[0]}: {value}"
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    with pytest.raises(FctError) as error:
        check(load(Params))
    assert f"params.yaml, line {number + 1}: {key}: " in str(error.value)


@pytest.fixture
def save_weights(tmp_path):
    """Return a function that saves weights of a backbone in weights/, and returns the name of the file."""
    import torch

    from fct.models.backbones import build_backbone

    def save(name, classes=2):
        (tmp_path / "weights").mkdir()
        backbone = build_backbone(name, width=8, classes=classes, channels=1, size=28)
        torch.save(backbone.state_dict(), tmp_path / "weights/some.pth")
        return "weights/some.pth"

    return save


@pytest.fixture
def page(tmp_path):
    """Save a page of HTML, as a failed download leaves it, in weights/, and return the name of the file."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/page.pt").write_text("<!DOCTYPE html><title>404</title>")
    return "weights/page.pt"


def test_a_file_without_weights_is_refused(checked, page):
    """Otherwise the stage baseline would find it, after the data and all caches."""
    with pytest.raises(FctError, match=r"model\.weights: weights/page\.pt is not a file of weights"):
        checked(model__weights=page)


def test_weights_of_another_architecture_are_refused(checked, save_weights):
    """The message has the first tensors that do not fit."""
    with pytest.raises(FctError, match=r"model\.weights: weights/some\.pth is of another architecture"):
        checked(model__weights=save_weights("resnet8"))


@pytest.mark.parametrize("classes", [2, 1000])
def test_weights_of_the_network_fit_with_any_number_of_classes(checked, save_weights, classes):
    """The number of classes is not known before there are data, and another one is no error."""
    checked(model__weights=save_weights("speednet", classes))


@pytest.fixture
def save_teacher(tmp_path):
    """Return a function that saves a network of some classes as a teacher, and returns the name of the file."""
    from fct.models import saved

    def save(backbone, classes):
        description = saved.Description(
            backbone=backbone, width=8, stem="own", classes=classes, channels=1, size=28, mean=[0.5], std=[0.25],
            layers=[], block=None, qualities=[10], data_digest="", params_digest="",
        )  # fmt: skip
        saved.save(description.build(), description, tmp_path / "weights/teacher.pt")
        return "weights/teacher.pt"

    return save


def test_a_teacher_without_a_network_is_refused(checked, page):
    """Its file is read before there are data, too."""
    with pytest.raises(FctError, match=r"weights/page\.pt is damaged .* Set params\.yaml, line 1: method\.teacher"):
        checked(method__teacher=page)


def test_a_teacher_of_another_architecture_is_refused(checked, save_teacher):
    """Its features could not be learnt."""
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt is resnet8 of width 8"):
        checked(method__teacher=save_teacher("resnet8", ["a", "b"]))


def test_a_teacher_may_have_any_classes_before_there_are_data(checked, save_teacher):
    """The stage baseline compares them with those of the data."""
    checked(method__teacher=save_teacher("speednet", ["a", "b", "c"]))


def test_fp16_is_refused_where_no_gpu_is(checked, monkeypatch):
    """The check says so before anything is computed."""
    import torch

    monkeypatch.setattr("fct.train.assemble.pick_device", lambda: torch.device("cpu"))
    with pytest.raises(FctError, match=r"train\.precision: fp16 needs a GPU"):
        checked(train__precision="fp16")


def test_all_problems_are_told_at_once(checked):
    """Nobody wants to run the pipeline once for each of them."""
    with pytest.raises(FctError) as error:
        checked(model__weights="weights/none.pt", evaluate__unseen=["bgr"])
    assert "model.weights" in str(error.value)
    assert "evaluate.unseen" in str(error.value)


def test_the_stage_always_writes_the_same(tmp_path, checked):
    """What depends on it is not stale after a change of values that fit."""
    contents = set()
    for epochs in (3, 4):
        checked(train__epochs=epochs)
        subprocess.run([sys.executable, "-m", "fct.check"], cwd=tmp_path, check=True)
        contents.add((tmp_path / "metrics/check.json").read_bytes())
    assert len(contents) == 1


def test_views_of_a_folder_are_not_made_online(checked):
    """Its images are compressed at their own size, which is said before anything is computed."""
    with pytest.raises(FctError, match=r"train\.views: images of a folder .* Set it to cache"):
        checked(data__source="folder", train__views="online")
