"""What the parts of a training must agree on before it begins."""

from pathlib import Path

import pytest

from fct.core.errors import FctError
from fct.train import candidate
from fct.train.assemble import check_crops, make_network, open_data


@pytest.mark.parametrize("gradient", ["both", "raw-detached"])
def test_features_cropped_apart_are_not_compared(toy, gradient):
    """Own crops and a target of the raw view: refused before anything is trained, with keys and what to take."""
    setup = toy.setup(crops="own")
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"method\.gradient: {gradient} pulls .* train\.crops: own .* average-teacher"):
        make_network(setup, toy.method(gradient=gradient), data.train, meta)


@pytest.mark.parametrize(
    "method",
    [
        {"gradient": "average-teacher"},
        {"gradient": "frozen-teacher", "teacher": "some.pt"},
        {"gradient": "both", "projection": "mean"},
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
