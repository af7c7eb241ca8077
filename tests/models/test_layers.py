"""The layers that are proposed first."""

import pytest

from fct.models.backbones import build_backbone
from fct.models.layers import propose_layers


@pytest.mark.parametrize(
    ("model", "stem", "head"),
    [
        ("resnet8", "stem", "head"),
        ("speednet", "stem", "head"),
        ("resnet18", "maxpool", "fc"),
        ("mobilenet_v3_small", "features.0", "classifier.3"),
        ("convnext_tiny", "features.0", "classifier.2"),
        ("vit_b_32", "encoder.dropout", "heads.head"),
        ("vgg11", "features.0", "classifier.6"),
    ],
)
def test_the_stem_is_before_the_stages_and_the_head_is_last(model, stem, head):
    """In a plain chain the stem is the first layer."""
    proposal = propose_layers(build_backbone(model, width=8, classes=3, channels=3, size=64), channels=3, size=64)
    assert (proposal.stem, proposal.head) == (stem, head)


@pytest.mark.parametrize(
    ("model", "stages"),
    [("alexnet", [1, 4, 11, 12]), ("vgg11", [1, 4, 9, 14, 19, 20])],
)
def test_the_stages_of_a_plain_chain_end_where_its_resolution_changes(model, stages):
    """It has no modules that are made of layers."""
    backbone = build_backbone(model, width=8, classes=3, channels=3, size=96)
    assert propose_layers(backbone, channels=3, size=96).stages == [f"features.{number}" for number in stages]


def test_places_are_stem_and_stages_each_once():
    """Also where the stem counts as a stage."""
    backbone = build_backbone("resnet8", width=8, classes=3, channels=1, size=28)
    assert propose_layers(backbone, channels=1, size=28).places == ["stem", "stage1", "stage2", "stage3"]
