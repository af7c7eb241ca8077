"""Frozen weights stay as they are, and so do the statistics of frozen norms."""

import pytest

from fct.core.errors import FctError
from fct.models.backbones import build_backbone
from fct.train.freeze import freeze


@pytest.fixture
def backbone():
    return build_backbone("resnet8", width=8, classes=3, channels=3, size=16)


def test_patterns_freeze_what_they_match_and_nothing_else(backbone):
    """A star stands for any characters."""
    freeze(backbone, ["stage1.*"])
    frozen = {name for name, weight in backbone.named_parameters() if not weight.requires_grad}
    assert frozen == {name for name, _ in backbone.named_parameters() if name.startswith("stage1.")}
    assert frozen


def test_modules_whose_weights_are_all_frozen_are_named(backbone):
    """A norm with one trained weight is no such module."""
    modules = freeze(backbone, ["stage1.*"])
    assert all(any(module is inner for inner in backbone.stage1.modules()) for module in modules)
    assert freeze(build_backbone("resnet8", width=8, classes=3, channels=3, size=16), []) == []


def test_a_pattern_that_matches_nothing_is_an_error(backbone):
    """It shows what names look like."""
    with pytest.raises(FctError, match=r"train\.freeze: no weight is called 'layer1\.\*'\. The first is "):
        freeze(backbone, ["layer1.*"])


def test_something_must_be_left_to_train(backbone):
    """All weights frozen is a mistake."""
    with pytest.raises(FctError, match="no weight of the backbone is left"):
        freeze(backbone, ["*"])
