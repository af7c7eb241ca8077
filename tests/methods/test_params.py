"""The `method` section refuses what no method can mean."""

import pytest
from pydantic import ValidationError


def test_a_layer_named_twice_is_refused(toy):
    """Each layer counts once in the mean over layers."""
    with pytest.raises(ValidationError, match="name each layer once"):
        toy.method(layers=["stage1", "stage1"])


@pytest.mark.parametrize("changed", [{"weight": float("inf")}, {"probability": 1.1}, {"layers": []}, {"name": "fct-x"}])
def test_impossible_values_are_refused(toy, changed):
    """No infinite weight, no probability above one, no empty list of layers, no unknown method."""
    with pytest.raises(ValidationError):
        toy.method(**changed)
