"""What the parts of a training must agree on before it begins."""

import pytest

from fct.core.errors import FctError
from fct.train.assemble import check_crops, make_network, open_data


@pytest.mark.parametrize("gradient", ["both", "raw-detached"])
def test_features_cropped_apart_are_not_compared(toy, gradient):
    """Own crops and a target of the raw view: refused before anything is trained, with keys and what to take."""
    setup = toy.setup(crops="own")
    data, meta = open_data(setup)
    with pytest.raises(FctError, match=rf"method\.gradient: {gradient} pulls .* train\.crops: own .* average-teacher"):
        make_network(setup, toy.method(gradient=gradient), data.train, meta)


@pytest.mark.parametrize(
    "method",
    [
        {"gradient": "average-teacher"},
        {"gradient": "frozen-teacher", "teacher": "some.pt"},
        {"gradient": "both", "projection": "mean"},
        {"name": "pair"},
        {"name": "distill", "teacher": "some.pt"},
    ],
)
def test_others_may_be_cropped_apart(toy, method):
    """Teachers see the compressed view's crop; means over positions and predictions have no positions."""
    check_crops(toy.setup(crops="own").train, toy.method(**method))
