"""Small trained-looking networks and their ONNX files, exported once: an export takes seconds."""

import pytest
import torch

from fct.export.onnx import export
from fct.models.saved import Description
from fct.nn.estimator import QualityEstimator

BLOCK = {
    "layers": ["stage1", "stage3"],
    "width": 0.5,
    "quality": "film",
    "consistency": "after",
    "unknown_quality": "bypass",
}


def _network(**changed):
    told = {
        "backbone": "resnet8", "width": 8, "classes": ["red", "green", "blue"], "channels": 3, "size": 16,
        "mean": [0.3, 0.4, 0.5], "std": [0.2, 0.3, 0.4], "layers": ["stage1", "stage3"], "stem": "own",
        "qualities": [20, 60], "data_digest": "0123456789abcdef", "params_digest": "fedcba9876543210",
    }  # fmt: skip
    description = Description.model_validate(told | changed)
    torch.manual_seed(0)
    network = description.build()
    for block in network.blocks.values() if network.blocks else ():
        torch.nn.init.normal_(block.expand.weight, std=0.2)  # an untrained block does nothing
    return network.eval(), description


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Networks with blocks, without, with blocks and mirror, or an estimator: network, description, file, by name."""
    folder, made = tmp_path_factory.mktemp("exported"), {}
    for name in ("blocks", "plain", "mirror", "estimator"):
        network, description = _network(block=None if name == "plain" else BLOCK, flip_tta=name == "mirror")
        if name == "estimator":
            network.estimator = QualityEstimator(3).eval()
        export(network, description, folder / f"{name}.onnx")
        made[name] = network, description, folder / f"{name}.onnx"
    return made


@pytest.fixture
def with_block():
    """Make a network of 16 pixels with a block at one layer, and its description."""

    def make(backbone, layer, quality):
        block = BLOCK | {"layers": [layer], "quality": quality}
        network, description = _network(backbone=backbone, layers=[layer], block=block)
        head = list(network.backbone.modules())[-1]
        torch.nn.init.normal_(head.weight, std=0.1)  # torchvision's ViT starts with a head of zeros
        return network, description

    return make


@pytest.fixture
def pixels():
    """Seven images and a quality for each."""
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8, generator=random).numpy()
    return images, torch.tensor([100, 20, 60, 5, 100, 50, 90]).numpy()
