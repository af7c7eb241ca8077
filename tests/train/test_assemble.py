"""What the parts of a training must agree on before it begins."""

from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.models import saved as candidate
from fct.train.assemble import check_crops, check_network, make_network, open_data


@pytest.mark.parametrize("target", ["raw", "raw-detached"])
def test_features_cropped_apart_are_not_compared(toy, target):
    """Own crops and a target of the raw view: refused before anything is trained, with keys and what to take."""
    setup = toy.setup(crops="own")
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"method\.target: {target} pulls .* train\.crops: own .* ema-teacher"):
        make_network(setup, toy.method(target=target), data.train, meta)


@pytest.mark.parametrize(
    "method",
    [
        {"target": "ema-teacher"},
        {"target": "teacher", "teacher": "some.pt"},
        {"target": "raw", "projection": "mean"},
        {"name": "pair"},
        {"name": "distill", "teacher": "some.pt"},
    ],
)
def test_others_may_be_cropped_apart(toy, method):
    """Teachers see the compressed view's crop; means over positions and predictions have no positions."""
    check_crops(toy.setup(crops="own").train, toy.method(**method))


@pytest.mark.parametrize("name", ["standard", "augment", "finetune", "pair", "stability", "jsd", "distill"])
def test_methods_without_features_need_no_layers(toy, name):
    """Their `method.layers` are checked for nothing: they may be another backbone's."""
    setup = toy.setup()
    data, meta = open_data(setup)
    method = toy.method(layers=["of-another"], teacher="none")
    standard, description = make_network(setup, method.model_copy(update={"name": "standard"}), data.train, meta)
    Path("weights").mkdir()
    candidate.save(standard, description, Path("weights/standard.pt"))
    method = method.model_copy(update={"name": name, "teacher": "weights/standard.pt"})
    network, _ = make_network(setup, method, data.train, meta)
    assert network.layers == ()


@pytest.mark.parametrize("key", ["crop_padding", "cutout"])
def test_a_border_or_square_as_large_as_the_image_is_refused(toy, key):
    """Nothing of the image would be left; the error names the key and both sizes."""
    setup = toy.setup(**{key: 16})
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"train\.{key}: 16 pixels leave nothing of images of 16"):
        make_network(setup, toy.method(), data.train, meta)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"model": "resnet20"}, r"resnet20 of width 8, .* trained is resnet8 of width 8,"),
        ({"of_model": {"width": 16}}, r"resnet8 of width 16, .* trained is resnet8 of width 8,"),
    ],
)
def test_a_teacher_of_another_architecture_is_refused(toy, other, said):
    """Also where its features happen to have the student's shape, and before the baseline's training too."""
    setup = toy.setup(**other)
    data, meta = open_data(setup)
    candidate.save(*make_network(setup, toy.method(name="standard"), data.train, meta), Path("weights/teacher.pt"))
    method = toy.method(name="fct", target="teacher", teacher="weights/teacher.pt")
    with pytest.raises(FctError, match=rf"method\.teacher: weights/teacher\.pt is {said}"):
        check_network(toy.setup(), method, meta)


def test_a_teacher_of_other_classes_is_refused(toy):
    """Also of the same in another order: their logits would be exchanged."""
    setup, method = toy.setup(), toy.method(name="distill", teacher="weights/teacher.pt")
    data, meta = open_data(setup)
    teacher, description = make_network(setup, toy.method(name="standard"), data.train, meta)
    Path("weights").mkdir()
    turned = description.model_copy(update={"classes": description.classes[::-1]})
    candidate.save(teacher, turned, Path("weights/teacher.pt"))
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt has the classes"):
        make_network(setup, method, data.train, meta)


def test_a_teacher_of_other_channels_is_refused(toy):
    """A network for colour images has nothing to say on grey ones."""
    setup, method = toy.setup(), toy.method(name="distill", teacher="weights/teacher.pt")
    data, meta = open_data(setup)
    candidate.save(*make_network(setup, toy.method(name="standard"), data.train, meta), Path("weights/teacher.pt"))
    with pytest.raises(FctError, match=r"weights/teacher\.pt takes images of 3 channels, these have 1"):
        check_network(setup, method, meta | {"channels": 1})


def test_layers_to_measure_are_looked_for_before_anything_is_trained(toy):
    """Another backbone has other names: the error says which key is still the old one's, and the nearest."""
    setup = toy.setup()
    _, meta = open_data(setup)
    with pytest.raises(FctError, match=r"features\.layers: .*stage9.* stage"):
        check_network(setup, toy.method(), meta, measured=["stage9"])
