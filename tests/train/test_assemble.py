"""Parts of a training that do not fit each other are errors before it starts."""

from pathlib import Path

import pytest
import torch

from fct.core.errors import FctError
from fct.models import saved
from fct.train.assemble import check_crops, check_network, make_network, open_data


@pytest.mark.parametrize("target", ["raw", "raw-detached"])
def test_features_of_different_crops_are_not_compared(toy, target):
    """With own crops, a target of the raw view is an error that names the keys and what to set."""
    setup = toy.setup(crops="own")
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"method\.target: {target} compares .* train\.crops: own .* ema-teacher"):
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
def test_other_methods_can_have_own_crops(toy, method):
    """Teachers see the compressed view's crop. Means over positions, and predictions, have no positions."""
    check_crops(toy.setup(crops="own").train, toy.method(**method))


@pytest.mark.parametrize("name", ["standard", "augment", "finetune", "pair", "stability", "jsd", "distill"])
def test_methods_without_features_need_no_layers(toy, name):
    """Their `method.layers` are not checked, so they may be those of another backbone."""
    setup = toy.setup()
    data, meta = open_data(setup)
    method = toy.method(layers=["of-another"], teacher="none")
    standard, description = make_network(setup, method.model_copy(update={"name": "standard"}), data.train, meta)
    Path("weights").mkdir()
    saved.save(standard, description, Path("weights/standard.pt"))
    method = method.model_copy(update={"name": name, "teacher": "weights/standard.pt"})
    network, _ = make_network(setup, method, data.train, meta)
    assert network.layers == ()


@pytest.mark.parametrize("key", ["crop_padding", "cutout"])
def test_padding_or_cutout_as_large_as_the_image_is_an_error(toy, key):
    """Such a crop or square would hide the whole image. The error names the key and both sizes."""
    setup = toy.setup(**{key: 16})
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"train\.{key}: 16 .* images of 16"):
        make_network(setup, toy.method(), data.train, meta)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"model": "resnet20"}, r"resnet20 of width 8, .* trained is resnet8 of width 8,"),
        ({"of_model": {"width": 16}}, r"resnet8 of width 16, .* trained is resnet8 of width 8,"),
    ],
)
def test_a_teacher_of_another_architecture_is_an_error(toy, other, message):
    """This holds for features of the student's shape, too, and is found before the baseline is trained."""
    setup = toy.setup(**other)
    data, meta = open_data(setup)
    saved.save(*make_network(setup, toy.method(name="standard"), data.train, meta), Path("weights/teacher.pt"))
    method = toy.method(name="fct", target="teacher", teacher="weights/teacher.pt")
    with pytest.raises(FctError, match=rf"method\.teacher: weights/teacher\.pt is {message}"):
        check_network(toy.setup(), method, meta)


def test_a_teacher_of_other_classes_is_an_error(toy):
    """The same classes in another order are an error, too: their logits would be swapped."""
    setup, method = toy.setup(), toy.method(name="distill", teacher="weights/teacher.pt")
    data, meta = open_data(setup)
    teacher, description = make_network(setup, toy.method(name="standard"), data.train, meta)
    Path("weights").mkdir()
    reversed_description = description.model_copy(update={"classes": description.classes[::-1]})
    saved.save(teacher, reversed_description, Path("weights/teacher.pt"))
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt has the classes"):
        make_network(setup, method, data.train, meta)


def test_a_teacher_of_other_channels_is_an_error(toy):
    """A network for colour images cannot be the teacher for grey ones."""
    setup, method = toy.setup(), toy.method(name="distill", teacher="weights/teacher.pt")
    data, meta = open_data(setup)
    saved.save(*make_network(setup, toy.method(name="standard"), data.train, meta), Path("weights/teacher.pt"))
    with pytest.raises(FctError, match=r"weights/teacher\.pt takes images of 3 channels, the data have 1"):
        check_network(setup, method, meta | {"channels": 1})


def test_a_teacher_that_is_not_finite_is_an_error(toy):
    """Its features would end the training, and not say why."""
    setup, method = toy.setup(), toy.method(name="distill", teacher="weights/teacher.pt")
    data, meta = open_data(setup)
    teacher, description = make_network(setup, toy.method(name="standard"), data.train, meta)
    teacher.backbone.head.weight.data[0] = float("nan")
    saved.save(teacher, description, Path("weights/teacher.pt"))
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt has values that are not finite"):
        check_network(setup, method, meta)


def test_layers_to_measure_are_checked_before_the_training(toy):
    """The error for a layer that the backbone does not have names the key and the nearest layers."""
    setup = toy.setup()
    _, meta = open_data(setup)
    with pytest.raises(FctError, match=r"features\.layers: .*stage9.* stage"):
        check_network(setup, toy.method(), meta, measured=["stage9"])


def test_synchronised_norms_need_a_gpu(toy, monkeypatch):
    """The error names the key, and says what happens without; it is found before a training."""
    monkeypatch.setattr("fct.train.assemble.pick_device", lambda: torch.device("cpu"))
    setup = toy.setup(sync_batch_norm=True)
    _, meta = open_data(setup)
    with pytest.raises(FctError, match=r"train\.sync_batch_norm: true needs a GPU .* Set it to false: then each"):
        check_network(setup, toy.method(), meta)
