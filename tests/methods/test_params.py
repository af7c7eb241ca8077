"""The `method` section refuses what no method can mean."""

import pytest
from pydantic import ValidationError


def test_a_layer_named_twice_is_refused(toy):
    """Each layer counts once in the mean over layers."""
    with pytest.raises(ValidationError, match="name each layer once"):
        toy.method(layers=["stage1", "stage1"])


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": float("inf")}, {"weight": -0.1}, {"probability": 1.1}, {"layers": []}, {"name": "fct-x"},
        {"ema_momentum": 1.0}, {"noise": -0.1}, {"schedule": "linear"},
    ],
)  # fmt: skip
def test_impossible_values_are_refused(toy, changed):
    """No infinite or negative weight, no probability above one, no empty list of layers, no unknown method."""
    with pytest.raises(ValidationError):
        toy.method(**changed)


def test_a_teacher_is_not_asked_for_where_none_is_looked_at(toy):
    """`pair` has no use for `gradient`; what it says there is ignored."""
    assert not toy.method(name="pair", target="teacher").needs_teacher_file


def test_raw_features_are_pulled_to_nothing_but_a_teachers(toy):
    """Pulled to the network's own, the raw view's features would be pulled to themselves."""
    with pytest.raises(ValidationError, match="matched_views: both needs a teacher"):
        toy.method(matched_views="both", target="raw")


WANTED = {
    "features": "uses_features",
    "file": "needs_teacher_file",
    "average": "needs_ema_teacher",
    "linear": "needs_projections",
}


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"name": "pair", "target": "ema-teacher", "projection": "linear"}, set()),
        ({"name": "distill", "match": "logits", "projection": "linear"}, {"file"}),
        ({"name": "distill", "match": "features"}, {"file", "features"}),
        ({"name": "fct"}, {"features"}),
        ({"name": "fct", "projection": "mean"}, {"features"}),
        ({"name": "fct", "projection": "linear"}, {"features", "linear"}),
        ({"name": "fct-r", "target": "teacher"}, {"features", "file"}),
        ({"name": "fct-r", "target": "ema-teacher"}, {"features", "average"}),
    ],
)
def test_a_method_wants_what_its_loss_reads(toy, changed, wanted):
    """Features, a teacher from a file, a moving average, learnt projections: those and no others."""
    method = toy.method(**changed)
    assert {name for name, key in WANTED.items() if getattr(method, key)} == wanted
