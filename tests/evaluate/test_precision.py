"""A model in fewer bits answers nearly as it did, and it is really another model."""

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.evaluate.model import open_model
from fct.evaluate.precision import fp16, int8
from fct.evaluate.sweep import predict


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small untrained network, exported."""
    import torch

    from fct.export.onnx import export
    from fct.models.saved import Description

    description = Description.model_validate(
        {
            "backbone": "resnet8", "width": 8, "classes": ["red", "green", "blue"], "channels": 3, "size": 16,
            "mean": [0.3, 0.4, 0.5], "std": [0.2, 0.3, 0.4], "layers": [], "stem": "own", "block": None,
            "flip_tta": False, "qualities": [20, 60], "data_digest": "0" * 16, "params_digest": "0" * 16,
        }
    )  # fmt: skip
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export(description.build().eval(), description, path)
    return path


@pytest.mark.parametrize("convert", [fp16, int8])
def test_fewer_bits_move_the_logits_a_little(exported, convert):
    """The answers differ, by a small part of their range."""
    model = open_model(exported)
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)
    quality = np.full(16, 50)
    whole, fewer = (one.adapter.logits(one.session, images, quality) for one in (model, convert(model)))
    assert 0 < np.abs(whole - fewer).max() < 0.2 * np.ptp(whole)


def test_an_answer_in_8_bits_depends_on_the_image_alone(exported, make_split):
    """How many images are in the model at a time differs from machine to machine."""
    split = make_split(channels=3, size=16)
    one, other = (
        predict(exported, split, [], "4:2:0", batch_size=size, unseen=["int8"], threads=1).confidence
        for size in (2, len(split))
    )
    np.testing.assert_array_equal(one, other)


def test_a_quantised_file_stays_as_it_is(exported, tmp_path):
    """It has 8 bits already."""
    from fct.int8.quantise import quantise

    images = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), np.uint8)
    path = tmp_path / "int8.onnx"
    quantise(exported, images, np.full(8, 50), path)
    model = open_model(path)
    assert int8(model) is model


def test_the_view_is_the_raw_images_by_the_model_in_fewer_bits(exported, make_split):
    """Every image is predicted, with its own quality."""
    split = make_split(channels=3, size=16)
    found = predict(exported, split, [], "4:2:0", batch_size=4, unseen=["fp16", "int8"])
    assert found.views == ("raw", "fp16/1", "int8/1")
    assert (found.classes >= 0).all()


@pytest.mark.parametrize("convert", [fp16, int8])
def test_a_file_of_any_name_is_converted(exported, tmp_path, convert):
    """The content decides what it is."""
    path = tmp_path / "model.pbtxt"
    path.write_bytes(exported.read_bytes())
    assert convert(open_model(path)).session is not None


def test_what_cannot_be_converted_is_named_with_its_remedy(exported, tmp_path):
    """The message names the file and the key of params.yaml."""
    import dataclasses

    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(FctError, match=r"broken\.onnx: onnxruntime cannot convert it to fp16.*evaluate\.unseen"):
        fp16(dataclasses.replace(open_model(exported), path=broken))
