"""The 8-bit form of a file answers as the file does, and is smaller."""

import numpy as np
import onnx
import pytest

from fct.evaluate.model import open_model
from fct.export.onnx import export
from fct.int8.quantise import quantise


@pytest.fixture(params=[False, True], ids=["plain", "mirror"])
def exported(toy, tmp_path, request):
    """Export an untrained network and return its path, with images and their qualities."""
    from fct.train.assemble import make_network, open_data

    setup, method = toy.setup(of_model={"width": 16, "flip_tta": request.param}), toy.method()
    data, meta = open_data(setup)
    network, description = make_network(setup, method, data.train, meta)
    path = tmp_path / "model/model.onnx"
    path.parent.mkdir(exist_ok=True)
    export(network, description, path)
    split = toy.split("train")
    return path, np.ascontiguousarray(split.images.transpose(0, 3, 1, 2)), np.array(split.quality)


def test_it_answers_nearly_as_the_original(exported, tmp_path):
    """Logits move little against how far images are apart; inputs, outputs and metadata stay."""
    path, images, quality = exported
    quantise(path, images, quality, tmp_path / "small.onnx")
    before, after = open_model(path), open_model(tmp_path / "small.onnx")
    pixels = images.transpose(0, 2, 3, 1)
    ours, theirs = (each.adapter.logits(each.session, pixels, quality) for each in (after, before))
    assert np.abs(ours - theirs).mean() < 0.1 * theirs.std()
    assert after.class_names == before.class_names
    assert after.adapter == before.adapter


def test_weights_are_of_eight_bits(exported, tmp_path):
    """Every convolution reads weights that were rounded to int8."""
    path, images, quality = exported
    quantise(path, images, quality, tmp_path / "small.onnx")
    graph = onnx.load(tmp_path / "small.onnx").graph
    kinds = {each.name: each.data_type for each in graph.initializer}
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert {kinds.get(rounded.get(node.input[1])) for node in convolutions} == {onnx.TensorProto.INT8}


def test_the_same_images_give_the_same_file(exported, tmp_path):
    """Quantisation follows from content alone."""
    for name in ("one.onnx", "two.onnx"):
        quantise(*exported, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
