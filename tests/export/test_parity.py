"""A file that does not compute what the network computes is refused."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fct.core.errors import FctError
from fct.export.onnx import export
from fct.export.parity import compare


@pytest.mark.parametrize("name", ["blocks", "plain"])
def test_a_faithful_file_passes(exported, pixels, name):
    """The difference is rounding, and every image is counted."""
    network, _, path = exported[name]
    parity = compare(network, path, *pixels, tolerance=1e-3)
    assert 0 <= parity.difference < 1e-4
    assert (parity.disagreements, parity.images) == (0, 7)


@pytest.mark.parametrize(
    ("backbone", "layer", "quality"),
    [
        ("vit_b_16", "encoder.layers.encoder_layer_3", "film"), ("timm/vit_tiny_patch16_224", "blocks.3", "table"),
        ("resnet8", "stage2", "plane"), ("resnet8", "stage2", "table"),
    ],
)  # fmt: skip
def test_blocks_on_any_layout_are_exported(with_block, pixels, tmp_path, backbone, layer, quality):
    """On tokens and on maps, and however they know the quality."""
    network, description = with_block(backbone, layer, quality)
    export(network, description, tmp_path / "model.onnx")
    parity = compare(network, tmp_path / "model.onnx", *pixels, tolerance=1e-3)
    assert parity.difference < 1e-4
    with torch.inference_mode():
        images = torch.from_numpy(pixels[0])
        told, raw = (network(images, torch.full((7,), quality))[0] for quality in (10, 100))
    assert not torch.allclose(told, raw, atol=1e-3)  # there was something to export


def tampered(path, target, change):
    """Write `path` to `target` with the weights of its last layer changed."""
    model = onnx.load(path)
    (head,) = [tensor for tensor in model.graph.initializer if tensor.name.endswith("head.bias")]
    head.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(head).copy()), head.name))
    onnx.save(model, target)
    return target


def test_a_tampered_weight_is_refused(exported, pixels, tmp_path):
    """One bias moved by 0.5 is an error with the difference, the tolerance and what to do."""
    network, _, path = exported["blocks"]
    changed = tampered(path, tmp_path / "a.onnx", lambda bias: bias + np.array([0.5, 0, 0], np.float32))
    with pytest.raises(
        FctError, match=r"a\.onnx does not compute the same as the network: on 7 images .* by up to 0\.5 "
    ) as caught:
        compare(network, changed, *pixels, tolerance=1e-3)
    assert "export.tolerance is 0.001" in str(caught.value)


def test_a_file_with_nan_logits_is_refused(exported, pixels, tmp_path):
    """NaN is not within any tolerance."""
    network, _, path = exported["plain"]
    changed = tampered(path, tmp_path / "a.onnx", lambda bias: bias * np.float32("nan"))
    with pytest.raises(FctError, match="does not compute"):
        compare(network, changed, *pixels, tolerance=1e9)


def test_a_class_that_differs_is_refused_where_the_margin_is_clear(exported, pixels, tmp_path):
    """Within the tolerance of a logit, a class may differ only where torch itself is undecided."""
    network, _, path = exported["plain"]
    with torch.inference_mode():
        logits = network(torch.from_numpy(pixels[0]), torch.from_numpy(pixels[1]))[0].numpy()
    top = np.sort(logits, axis=1)
    largest = float((top[:, -1] - top[:, -2]).max())
    shift = np.zeros(3, np.float32)
    shift[int(logits[0].argmax())] = -largest * 1.01  # the first image's class loses everywhere
    changed = tampered(path, tmp_path / "a.onnx", lambda bias: bias + shift)
    assert compare(network, changed, *pixels, tolerance=largest * 1.1).disagreements == 0  # no margin exceeds 2.2
    with pytest.raises(FctError, match="classes differ"):
        compare(network, changed, *pixels, tolerance=largest / 4)
