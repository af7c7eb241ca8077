"""All files of a model count, wherever its weights lie."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fct.core.errors import FctError
from fct.core.files import sha256
from fct.evaluate.model_file import model_bytes, model_digest, model_files


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Stand in an empty folder. Save a model whose weights, 1,000 numbers of one value, lie beside it."""

    monkeypatch.chdir(tmp_path)

    def write(value=0.0, *, inside=False, branch=False, name="model.onnx"):
        weights = numpy_helper.from_array(np.full(1000, value, np.float32), "weights")
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1000])
        if branch:  # the weights are in a sub-graph
            then = helper.make_graph(
                [helper.make_node("Identity", ["weights"], ["z"])],
                "then",
                [],
                [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1000])],
                [weights],
            )
            nodes, tensors = [helper.make_node("If", ["x"], ["y"], then_branch=then, else_branch=then)], []
            given = helper.make_tensor_value_info("x", TensorProto.BOOL, [])
        else:
            nodes, tensors = [helper.make_node("Add", ["x", "weights"], ["y"])], [weights]
            given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1000])
        model = helper.make_model(helper.make_graph(nodes, "g", [given], [output], tensors))
        path = tmp_path / name
        path.with_name(f"{name}.data").unlink(missing_ok=True)  # onnx would append
        onnx.save(model, path, save_as_external_data=not inside, location=f"{name}.data", size_threshold=0)
        return path

    return write


@pytest.mark.parametrize("branch", [False, True], ids=["graph", "sub-graph"])
def test_the_size_is_that_of_all_files(save, branch):
    """4,000 bytes of weights lie beside the file."""
    path = save(branch=branch)
    assert [file.name for file in model_files(path)] == ["model.onnx", "model.onnx.data"]
    assert model_bytes(path) == path.stat().st_size + path.with_name("model.onnx.data").stat().st_size > 4000


def test_other_weights_are_another_model(save):
    """The ONNX file itself is the same, to the byte."""
    path = save(1.0)
    one, digest = path.read_bytes(), model_digest(path)
    assert save(2.0).read_bytes() == one
    assert model_digest(path) != digest
    save(1.0)
    assert model_digest(path) == digest


def test_a_model_of_one_file_has_that_files_digest(save):
    """As `sha256sum` gives it."""
    path = save(inside=True)
    assert model_digest(path) == sha256(path)
    assert model_bytes(path) == path.stat().st_size


@pytest.mark.parametrize("location", ["../secret.data", "/etc/hostname", "folder/../../secret.data"])
def test_weights_outside_of_the_folder_are_refused(save, tmp_path, location):
    """A model does not read files that nobody gave with it."""
    path = save()
    (tmp_path.parent / "secret.data").write_bytes(bytes(4000))
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FctError, match=r"model\.onnx: its weights are in .*, outside of its folder"):
        model_files(path)


def test_a_link_out_of_the_folder_is_refused(save, tmp_path):
    """Also where the name looks harmless."""
    path = save()
    data, outside = path.with_name("model.onnx.data"), tmp_path.parent / "outside.data"
    data.rename(outside)
    data.symlink_to(outside)
    with pytest.raises(FctError, match="outside of its folder"):
        model_files(path)


def test_missing_weights_are_named(save):
    """Someone copied the .onnx file alone."""
    path = save()
    path.with_name("model.onnx.data").unlink()
    with pytest.raises(FctError, match=r"its weights are in 'model\.onnx\.data', which is not beside it"):
        model_files(path)


@pytest.mark.parametrize("location", [b"weights\xfc", b"weights\0"])
def test_weights_in_what_is_no_name_of_a_file_are_refused(save, location):
    """A name that is not UTF-8, or that has a null byte."""
    path = save(name="model123")
    path.write_bytes(path.read_bytes().replace(b"model123.data", location + b"1" * (13 - len(location))))
    with pytest.raises(
        FctError, match=r"model123: its weights are in .*, which is no name of a file\. Export it again"
    ):
        model_files(path)


@pytest.mark.parametrize("name", ["model.json", "model.pbtxt", "model.onnxtxt"])
def test_any_name_will_do(save, name):
    """The content decides, as for onnxruntime."""
    path = save(inside=True).rename(name)
    assert model_files(path) == [path]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.onnx", b"\xff" * 100),
        ("gate.json", b'{"verdict": "PASS"}'),
        ("model.pbtxt", b"ir_version: 8"),
        ("model.onnxtxt", b"<ir_version: 8>"),
    ],
)
def test_what_is_no_onnx_is_refused(tmp_path, name, content):
    """Not a traceback of protobuf."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FctError, match=rf"{name}: the file is not ONNX"):
        model_files(path)
