"""Images are normalised as pretrained weights were trained."""

import pytest
import torch

from fct.core.errors import FctError
from fct.models.normalisation import describe_other_images, normalisation
from fct.models.params import ModelParams

MODEL = {"name": "resnet18", "width": 8, "stem": "own", "flip_tta": False}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Return a section `model` with weights in a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    torch.save({"weight": torch.ones(1)}, "weights/some.pth")
    return lambda **changed: ModelParams.model_validate(
        MODEL | {"weights": "weights/some.pth", "normalisation": "auto"} | changed
    )


def test_weights_of_torchvision_have_its_normalisation(model):
    """That of ImageNet, by the entry of the weights."""
    assert normalisation(model(), 3) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_weights_of_timm_have_that_of_their_configuration(model):
    """EfficientNet-Lite was trained on -1..1, not as most are."""
    assert normalisation(model(name="timm/tf_efficientnet_lite0"), 3) == ([0.5] * 3, [0.5] * 3)


def test_one_channel_has_the_mean_of_three(model):
    """A grey image stands for three equal channels."""
    found = normalisation(model(), 1)
    assert found.mean == pytest.approx([0.449])
    assert found.std == pytest.approx([0.226])


@pytest.mark.parametrize("changed", [{"weights": None}, {"normalisation": "images"}, {"name": "resnet8"}])
def test_otherwise_it_is_that_of_the_images(model, changed):
    """Without weights, on demand, and where nothing says how weights were trained."""
    assert normalisation(model(**changed), 3) is None


def test_a_name_that_no_model_has_is_an_error(model):
    """It is that of the backbone, with the nearest names."""
    with pytest.raises(FctError, match=r"model\.name: no model is called 'resnet188'\. Nearest: resnet18, "):
        normalisation(model(name="resnet188"), 3)


def test_values_go_before_everything(model):
    """What params.yaml says is taken, where it fits the images."""
    values = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert normalisation(model(normalisation=values), 3) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    with pytest.raises(FctError, match=r"model\.normalisation: it has 3 values .* images have 1 channels"):
        normalisation(model(normalisation=values), 1)


def test_weights_of_images_of_another_size_or_interpolation_are_told(model):
    """One sentence names both; where the images are alike there is none."""
    assert describe_other_images(model(name="timm/tf_efficientnet_lite0"), 128) == (
        "weights/some.pth was trained with images of 224 pixels, scaled with bicubic interpolation; the images here "
        "have 128 pixels, scaled with bilinear interpolation."
    )
    assert "bicubic interpolation; the images here have 224" in describe_other_images(
        model(name="timm/tf_efficientnet_lite0"), 224
    )
    assert describe_other_images(model(), 224) is None
    assert "of 224 pixels, scaled with bilinear" in describe_other_images(model(), 96)


@pytest.mark.parametrize("changed", [{"weights": None}, {"name": "resnet8"}])
def test_where_nothing_is_known_of_the_images_nothing_is_told(model, changed):
    """Without weights, and where nothing says how they were trained."""
    assert describe_other_images(model(**changed), 32) is None
