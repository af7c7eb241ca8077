"""Small real ONNX models and small real splits, for tests of several rooms."""

import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from fct.splits.store import Split

IMAGE = ("image", TensorProto.UINT8, ["B", "C", "H", "W"])
QUALITY = ("quality", TensorProto.INT64, ["B"])


@pytest.fixture
def save_model(tmp_path):
    """Write a model of given nodes."""

    def save(nodes, *, inputs=(IMAGE,), classes=2, constants=None, output="logits", batch="B", metadata=None):
        graph = helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(*each) for each in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, classes])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, metadata or {})
        path = tmp_path / "model" / "model.onnx"
        path.parent.mkdir(exist_ok=True)
        onnx.save(model, path)
        return path

    return save


@pytest.fixture
def brightest(save_model):
    """Write a model whose classes are the places in an image [C, H, W]: it predicts where the brightest pixel is."""

    def save(channels, size, **more):
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["pixels"], ["logits"]),
        ]
        image = ("image", TensorProto.UINT8, ["B", channels, size, size])
        return save_model(nodes, inputs=(image,), classes=channels * size * size, **more)

    return save


@pytest.fixture
def echo(save_model):
    """Write a model that predicts the quality it is told: of 101 classes k, 2kq - k² is largest where k = q."""
    classes = np.arange(101, dtype=np.float32)
    nodes = [
        helper.make_node("Cast", ["quality"], ["q"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["q", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "doubled"], ["product"]),
        helper.make_node("Sub", ["product", "squared"], ["logits"]),
    ]
    constants = {"axis": np.array([1]), "doubled": 2 * classes[None], "squared": classes[None] ** 2}
    return save_model(nodes, inputs=(IMAGE, QUALITY), classes=101, constants=constants)


@pytest.fixture
def bright(save_model):
    """Write a model of two classes, dark and bright, split at a mean of 127.5."""

    def save(**more):
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
            helper.make_node("Sub", ["column", "middle"], ["above"]),
            helper.make_node("Mul", ["above", "signs"], ["logits"]),
        ]
        constants = {
            "axes": np.array([1, 2, 3]),
            "axis": np.array([1]),
            "middle": np.array([[127.5]], np.float32),
            "signs": np.array([[-1, 1]], np.float32),
        }
        return save_model(nodes, constants=constants, **more)

    return save


@pytest.fixture
def make_split():
    """Make a split of random images."""

    def make(count=6, size=8, channels=1, *, seed=0, classes=2, quality=None, name="gate"):
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
        own = np.full(count, 100) if quality is None else np.asarray(quality)
        return Split(name, images, random.integers(0, classes, count), own, None)

    return make


@pytest.fixture
def workplace(tmp_path, monkeypatch, make_split, bright):
    """Go to a folder with params, a model, and splits of dark and bright images, a few with the wrong label."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("gate", 60), ("test", 40)):
        split = make_split(count, name=name)
        dim = (split.labels * 100 + 20).astype(np.uint8)
        images = split.images // 4 + dim[:, None, None, None]
        labels = split.labels.copy()
        labels[:6] = 1 - labels[:6]
        folder = tmp_path / "data" / "splits" / name
        folder.mkdir(parents=True)
        for part, array in (("images", images), ("labels", labels), ("quality", split.quality)):
            np.save(folder / f"{part}.npy", array)
    (tmp_path / "data/splits/meta.json").write_text(
        json.dumps({"classes": ["dark", "bright"], "digest": "0123456789abcdef"})
    )
    (tmp_path / "data/originals").mkdir()
    (tmp_path / "data/originals/meta.json").write_text('{"native": false}')
    model = bright(metadata={"fct.classes": '["dark", "bright"]'})
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/export-model.json").write_text(
        json.dumps({"parity": 1e-6, "file_bytes": model.stat().st_size})
    )
    (tmp_path / "params.yaml").write_text(
        'jpeg: {subsampling: "4:2:0"}\n'
        "evaluate: {qualities: [5, 50, 95], unseen: [blur], unseen_images: null, batch_size: 16,\n"
        "           confidence: 0.95}\n"
        "gate:\n"
        "  - {slice: raw, metric: accuracy, at_least: 0.7}\n"
        "  - {slice: mean, metric: accuracy, at_least: 0.7}\n"
        "  - {slice: worst, metric: accuracy, at_least: 0.7}\n"
        "  - {metric: parity, at_most: 0.001}\n"
        "  - {metric: file_mib, at_most: 1.0}\n"
        "  - {slice: mean, metric: accuracy, champion: 0.01}\n"
    )
    return tmp_path


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
        onnx.save(model, path)
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


@pytest.fixture
def save_foreign(tmp_path):
    """Write a classifier that somebody else made: of blue against red images, or of dark against bright ones."""

    def save(name="theirs.onnx", *, dtype="float32", nhwc=False, heads=("logits",), batch="B", bright=False):
        """Give the outputs `heads`: logits, softmax, percent, label, column (of labels), features or background."""
        kind = {"float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[dtype]
        score = kind if dtype == "float16" else TensorProto.FLOAT
        number = np.float16 if dtype == "float16" else np.float32
        weights = [[-1, 1], [-1, 1], [-1, 1]] if bright else [[0, 1], [0, 0], [1, 0]]
        constants = {
            "axes": np.array([1, 2] if nhwc else [2, 3]),
            "weights": np.array(weights, number),
            "hundred": np.array(100, number),
            "never": np.array([[-9], [-9], [-9]], number),
        }
        nodes = [
            helper.make_node("Cast", ["pixels"], ["cast"], to=score),
            helper.make_node("ReduceMean", ["cast", "axes"], ["means"], keepdims=0),
            helper.make_node("MatMul", ["means", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["shares"]),
            helper.make_node("MatMul", ["means", "never"], ["nothing"]),
        ]
        made = {
            "logits": (helper.make_node("Identity", ["scores"], ["logits"]), score, [batch, 2]),
            "softmax": (helper.make_node("Identity", ["shares"], ["softmax"]), score, [batch, None]),
            "percent": (helper.make_node("Mul", ["shares", "hundred"], ["percent"]), score, [batch, 2]),
            "label": (
                helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
                TensorProto.INT64,
                [batch],
            ),
            "column": (
                helper.make_node("ArgMax", ["scores"], ["column"], axis=1, keepdims=1),
                TensorProto.INT64,
                [batch, 1],
            ),
            "features": (helper.make_node("Neg", ["means"], ["features"]), score, [batch, 3]),
            "background": (
                helper.make_node("Concat", ["nothing", "scores"], ["background"], axis=1),
                score,
                [batch, 3],
            ),
        }
        shape = [batch, 8, 8, 3] if nhwc else [batch, 3, 8, 8]
        graph = helper.make_graph(
            nodes + [made[head][0] for head in heads],
            "foreign",
            [helper.make_tensor_value_info("pixels", kind, shape)],
            [helper.make_tensor_value_info(head, *made[head][1:]) for head in heads],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        return path

    return save
