"""The ONNX file is all that serving needs, and nothing of the machine that made it."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fct.export.onnx import export
from fct.images.tables import UNKNOWN_QUALITY

WITH_BLOCKS = ["image", "quality"]
INPUTS = {"blocks": WITH_BLOCKS, "plain": ["image"], "mirror": WITH_BLOCKS, "estimator": WITH_BLOCKS}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", INPUTS)
def test_only_blocks_ask_for_the_quality(exported, name):
    """Inputs are uint8 images, and int64 qualities where the network has blocks; the output is float32 logits."""
    served = session(exported[name][2])
    assert [entry.name for entry in served.get_inputs()] == INPUTS[name]
    image, *quality = served.get_inputs()
    assert (image.type, image.shape[1:]) == ("tensor(uint8)", [3, 16, 16])
    assert [entry.type for entry in quality] == ["tensor(int64)"] * len(quality)
    (logits,) = served.get_outputs()
    assert (logits.name, logits.type, logits.shape[1:]) == ("logits", "tensor(float)", [3])
    assert isinstance(image.shape[0], str)
    assert image.shape[0] == logits.shape[0]


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("name", INPUTS)
def test_any_number_of_images_is_classified_as_by_torch(exported, pixels, name, count):
    """One image or seven give torch's logits, with every image's quality its own."""
    network, _, path = exported[name]
    feeds = {"image": pixels[0][:count], "quality": pixels[1][:count]}
    (logits,) = session(path).run(None, {entry: feeds[entry] for entry in INPUTS[name]})
    with torch.inference_mode():
        expected, _ = network(*(torch.from_numpy(feed) for feed in feeds.values()))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_the_quality_reaches_the_blocks(exported, pixels):
    """The same images told another quality get other logits; at 100 they get the plain network's."""
    image = pixels[0]
    blocks, plain = (session(exported[name][2]) for name in ("blocks", "plain"))
    at = {q: blocks.run(None, {"image": image, "quality": np.full(7, q)})[0] for q in (10, 100)}
    assert not np.allclose(at[10], at[100], atol=1e-2)
    assert at[100].shape == plain.run(None, {"image": image})[0].shape


def test_quality_is_estimated_within_the_file(exported, pixels):
    """Told nothing, or more than its estimator sees, the file takes the estimate; told less, it is as one without."""
    estimating, bypassing = (session(exported[name][2]) for name in ("estimator", "blocks"))
    for quality, same in ((UNKNOWN_QUALITY, False), (1, True), (100, False)):
        feeds = {"image": pixels[0], "quality": np.full(7, quality)}
        logits = [each.run(None, feeds)[0] for each in (estimating, bypassing)]
        assert np.allclose(*logits, atol=1e-4) is same


def test_what_is_served_is_described(exported):
    """Classes, normalisation, trained qualities, layers and digests are in the file's metadata, and nothing else."""
    held = {entry.key: entry.value for entry in onnx.load(exported["blocks"][2]).metadata_props}
    assert json.loads(held.pop("fct.classes")) == ["red", "green", "blue"]
    assert json.loads(held.pop("fct.qualities")) == [20, 60]
    assert json.loads(held.pop("fct.no_tables")) == UNKNOWN_QUALITY
    assert json.loads(held.pop("fct.layers")) == ["stage1", "stage3"]
    assert (json.loads(held.pop("fct.mean")), json.loads(held.pop("fct.std"))) == ([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert held == {"fct.data_digest": "0123456789abcdef", "fct.params_digest": "fedcba9876543210"}


@pytest.mark.parametrize("name", INPUTS)
def test_nothing_names_the_machine(exported, name):
    """No path of the source, the working folder or the home is in the file; the weights are."""
    path = exported[name][2]
    content = path.read_bytes()
    for trace in (*map(str, (Path(__file__).parents[2], Path.home(), path.parent)), ".py", "site-packages"):
        assert trace.encode() not in content, trace
    assert not any(tensor.external_data for tensor in onnx.load(path, load_external_data=False).graph.initializer)
    assert [each.name for each in path.parent.iterdir() if each.suffix != ".onnx"] == []


def test_the_opset_is_the_pinned_one(exported):
    """The file asks for ONNX opset 20 and no other domain, whatever torch would choose."""
    (opset,) = onnx.load(exported["blocks"][2]).opset_import
    assert (opset.domain, opset.version) == ("", 20)


def test_the_same_network_is_the_same_file(exported, tmp_path, monkeypatch):
    """Exported again, from another folder and under another name, the file has the same bytes."""
    network, description, path = exported["blocks"]
    monkeypatch.chdir(tmp_path)
    export(network, description, Path("other/name.onnx"))
    assert Path("other/name.onnx").read_bytes() == path.read_bytes()
    assert [each.name for each in Path("other").iterdir()] == ["name.onnx"]
