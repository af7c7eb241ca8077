"""The sections `evaluate` and `gate`: impossible values are refused."""

import pytest
from pydantic import ValidationError

from fct.evaluate.params import EvaluateParams, GateParams

EVALUATE = {"qualities": [5, 95], "batch_size": 256, "resamples": 1000, "confidence": 0.95, "seed": 0}
GATE = {"clean": 0.8, "mean": 0.7, "worst": 0.6, "parity": 1e-4, "file_mib": 5}


def test_good_values_are_taken():
    """Values in their ranges become the parameters, qualities in the order given."""
    assert EvaluateParams.model_validate(EVALUATE).qualities == (5, 95)
    assert GateParams.model_validate(GATE).worst == 0.6


@pytest.mark.parametrize(
    ("section", "good", "key", "value", "said"),
    [
        (EvaluateParams, EVALUATE, "qualities", [5, 50, 5], "5 stands there more than once"),
        (EvaluateParams, EVALUATE, "qualities", [0], "greater than or equal to 1"),
        (EvaluateParams, EVALUATE, "qualities", [101], "less than or equal to 100"),
        (EvaluateParams, EVALUATE, "qualities", [], "at least 1 item"),
        (EvaluateParams, EVALUATE, "batch_size", 0, "greater than or equal to 1"),
        (EvaluateParams, EVALUATE, "confidence", 1.0, "less than 1"),
        (EvaluateParams, EVALUATE, "resamples", 10, "greater than or equal to 100"),
        (GateParams, GATE, "clean", 1.5, "less than or equal to 1"),
        (GateParams, GATE, "worst", -0.1, "greater than or equal to 0"),
        (GateParams, GATE, "parity", float("nan"), "finite number"),
        (GateParams, GATE, "file_mib", 0, "greater than 0"),
    ],
)
def test_impossible_values_are_refused(section, good, key, value, said):
    """A value out of its range is refused with the range."""
    with pytest.raises(ValidationError, match=said):
        section.model_validate({**good, key: value})
