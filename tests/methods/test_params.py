"""Impossible values of the `method` section are errors."""

import pytest
from pydantic import ValidationError


def test_a_layer_that_is_listed_twice_is_an_error(toy):
    """The error says to list each layer once."""
    with pytest.raises(ValidationError, match="list each layer once"):
        toy.method(layers=["stage1", "stage1"])


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": float("inf")}, {"weight": -0.1}, {"probability": 1.1}, {"layers": []}, {"name": "fct-x"},
        {"ema_momentum": 1.0}, {"noise": -0.1}, {"schedule": "linear"}, {"prediction_weight": -1},
        {"hidden_quality": 1.1},
    ],
)  # fmt: skip
def test_impossible_values_are_an_error(toy, changed):
    """An infinite or negative weight, a probability above 1, no layers, and an unknown method are errors."""
    with pytest.raises(ValidationError):
        toy.method(**changed)


def test_a_method_without_features_ignores_the_target(toy):
    """`pair` does not use `target`, so it needs no teacher."""
    assert not toy.method(name="pair", target="teacher").needs_teacher_file


def test_matching_both_views_needs_a_teacher(toy):
    """Without a teacher, the raw view's features would be compared with themselves."""
    with pytest.raises(ValidationError, match="matched_views: both needs a teacher"):
        toy.method(matched_views="both", target="raw")


def test_matching_one_view_needs_a_teacher(toy):
    """Without a teacher, there would be no raw view's feature to compare with."""
    with pytest.raises(ValidationError, match="matched_views: one needs a teacher"):
        toy.method(matched_views="one", target="raw-detached")


def test_one_view_has_no_other_prediction(toy):
    """The divergence of both views' predictions is refused where there is one view."""
    with pytest.raises(ValidationError, match=r"prediction_weight is 0\.5, but with matched_views: one"):
        toy.method(matched_views="one", target="ema-teacher", prediction_weight=0.5)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"name": "augment"}, 1),
        ({"name": "pair"}, 2),
        ({"name": "pair", "matched_views": "one"}, 2),
        ({"name": "fct", "matched_views": "one", "target": "ema-teacher"}, 1),
        ({"name": "fct-r", "matched_views": "both", "target": "ema-teacher"}, 2),
    ],
)
def test_a_method_sees_one_view_or_both(toy, changed, expected):
    """Only methods that compare views, and `pair`, forward both, unless one of them is told to see one."""
    assert toy.method(**changed).views_per_image == expected


PROPERTIES = {
    "features": "uses_features",
    "file": "needs_teacher_file",
    "average": "needs_ema_teacher",
    "linear": "needs_projections",
}


@pytest.mark.parametrize(
    ("changed", "needs"),
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
def test_a_method_needs_what_its_loss_uses(toy, changed, needs):
    """The properties say whether a loss uses features, a teacher's file, a moving average, or learnt projections."""
    method = toy.method(**changed)
    assert {name for name, key in PROPERTIES.items() if getattr(method, key)} == needs
