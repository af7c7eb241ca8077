"""Tiny ONNX classifiers of 8 x 8 images, for tests of the served model and of `fct predict`."""

import io
import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

COLOURS = ("red", "green", "blue")


@pytest.fixture
def colour_model(tmp_path):
    """Write a model whose logits are the mean of each channel over 100, and of the first also the quality told."""

    def make(*, takes_quality=False, metadata=None, width=8):
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "places"], ["means"], keepdims=0),
            helper.make_node("Div", ["means", "hundred"], ["scores"]),
        ]
        inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["B", 3, 8, width])]
        constants = {"places": np.array([2, 3]), "hundred": np.array(100, np.float32)}
        if takes_quality:
            inputs.append(helper.make_tensor_value_info("quality", TensorProto.INT64, ["B"]))
            constants |= {"axis": np.array([1]), "first": np.array([[1, 0, 0]], np.float32)}
            nodes += [
                helper.make_node("Cast", ["quality"], ["told"], to=TensorProto.FLOAT),
                helper.make_node("Unsqueeze", ["told", "axis"], ["column"]),
                helper.make_node("Mul", ["column", "first"], ["added"]),
                helper.make_node("Add", ["scores", "added"], ["logits"]),
            ]
        else:
            nodes.append(helper.make_node("Identity", ["scores"], ["logits"]))
        outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 3])]
        arrays = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph = helper.make_graph(nodes, "colours", inputs, outputs, arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        told = {"fct.classes": COLOURS, "fct.qualities": [30, 90]} if metadata is None else metadata
        helper.set_model_props(model, {key: json.dumps(value) for key, value in told.items()})
        path = tmp_path / "colours.onnx"
        save(model, path)
        return path

    return make


@pytest.fixture
def picture():
    """Encode an image of one colour."""

    def make(colour="red", kind="PNG", size=(12, 10), **options):
        pure = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}
        buffer = io.BytesIO()
        Image.new("RGB", size, pure.get(colour, colour)).save(buffer, kind, **options)
        return buffer.getvalue()

    return make
