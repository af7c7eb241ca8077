"""The sections `evaluate` and `gate`: impossible values are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from fct.evaluate.params import EvaluateParams
from fct.gate.params import CheckParams, GateParams, int8_lines, slice_problem

EVALUATE = {"qualities": [5, 95], "unseen": [], "batch_size": 256, "resamples": 1000, "confidence": 0.95, "seed": 0}


def test_good_values_are_taken():
    """Values in their ranges become the parameters, qualities in the order given."""
    assert EvaluateParams.model_validate(EVALUATE).qualities == (5, 95)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("qualities", [5, 50, 5], "5 stands there more than once"),
        ("qualities", [0], "greater than or equal to 1"),
        ("qualities", [101], "less than or equal to 100"),
        ("qualities", [], "at least 1 item"),
        ("unseen", ["smoke"], "Input should be 'webp'"),
        ("unseen", ["webp", "webp"], "webp stands there more than once"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("confidence", 1.0, "less than 1"),
        ("resamples", 10, "greater than or equal to 100"),
    ],
)
def test_impossible_values_are_refused(key, value, said):
    """A value out of its range is refused with the range."""
    with pytest.raises(ValidationError, match=said):
        EvaluateParams.model_validate({**EVALUATE, key: value})


@pytest.mark.parametrize(
    ("line", "name", "direction", "threshold"),
    [
        ({"slice": "raw", "metric": "accuracy", "at_least": 0.8}, "raw_accuracy", "at least", 0.8),
        ({"slice": "q10", "metric": "drop", "at_most": 0.1}, "q10_drop", "at most", 0.1),
        ({"metric": "parity", "at_most": 1e-4}, "parity", "at most", 1e-4),
        ({"slice": "mean", "metric": "accuracy", "champion": 0.01}, "mean_accuracy_vs_champion", "at least", -0.01),
        ({"slice": "mean", "metric": "ece", "champion": 0.01}, "mean_ece_vs_champion", "at most", 0.01),
    ],
)
def test_a_line_has_a_name_a_direction_and_a_threshold(line, name, direction, threshold):
    """What is worse than the champion is less of an accuracy, and more of an error."""
    check = CheckParams.model_validate(line)
    assert (check.name, check.direction, check.threshold) == (name, direction, threshold)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"slice": "raw", "metric": "accuracy"}, "takes one of at_least and champion"),
        ({"slice": "raw", "metric": "accuracy", "at_most": 0.5}, "takes one of at_least and champion .not at_most"),
        ({"slice": "raw", "metric": "accuracy", "at_least": 0.5, "champion": 0.1}, "not at_least and champion"),
        ({"slice": "raw", "metric": "ece", "at_least": 0.5}, "takes one of at_most and champion"),
        ({"metric": "parity", "champion": 0.5}, "takes one of at_most"),
        ({"metric": "accuracy", "at_least": 0.5}, "needs a slice"),
        ({"slice": "raw", "metric": "parity", "at_most": 0.5}, "has no slice"),
        ({"slice": "raw", "metric": "drop", "at_most": 0.5}, "held against raw itself"),
        ({"slice": "raw", "metric": "agreement", "at_least": 0.5}, "held against raw itself"),
        ({"slice": "raw", "metric": "beauty", "at_least": 0.5}, "Input should be"),
        ({"slice": "raw", "metric": "accuracy", "at_least": float("nan")}, "finite number"),
        ({"slice": "raw", "metric": "accuracy", "champion": -0.1}, "greater than or equal to 0"),
    ],
)
def test_a_line_that_says_nothing_is_refused(line, said):
    """A bound too few, too many, or on the wrong side."""
    with pytest.raises(ValidationError, match=said):
        CheckParams.model_validate(line)


def test_a_check_stands_there_once():
    """Two thresholds for one thing: which one counts is not for us to guess."""
    line = {"slice": "raw", "metric": "accuracy", "at_least": 0.8}
    with pytest.raises(ValidationError, match="raw_accuracy is checked twice"):
        TypeAdapter(GateParams).validate_python([line, line | {"at_least": 0.9}])


def test_a_gate_needs_a_line_that_needs_no_champion():
    """Else the first model would pass on nothing."""
    with pytest.raises(ValidationError, match="every line needs a champion"):
        TypeAdapter(GateParams).validate_python([{"slice": "mean", "metric": "accuracy", "champion": 0.01}])


@pytest.mark.parametrize(
    ("name", "unseen", "wrong"),
    [
        ("q5", [], None),
        ("worst-class", [], None),
        ("webp", ["webp"], None),
        ("worst-unseen", ["webp"], None),
        ("q10", [], "Add it to evaluate.qualities"),
        ("webp", [], "Add it to evaluate.unseen"),
        ("unseen", [], "Add it to evaluate.unseen"),
    ],
)
def test_a_slice_must_be_measured(name, unseen, wrong):
    """A line about views that the evaluation leaves out cannot be judged."""
    check = CheckParams(slice=name, metric="accuracy", at_least=0.5)
    said = slice_problem(check, EvaluateParams.model_validate(EVALUATE | {"unseen": unseen}))
    assert (said is None) == (wrong is None)
    assert wrong is None or wrong in said


def test_a_gate_may_have_lines_of_both_kinds():
    """Lines with a threshold of their own stand beside lines against the champion."""
    own = {"slice": "raw", "metric": "accuracy", "at_least": 0.8}
    against = {"slice": "mean", "metric": "accuracy", "champion": 0.01}
    lines = TypeAdapter(GateParams).validate_python([own, against])
    assert [check.name for check in lines] == ["raw_accuracy", "mean_accuracy_vs_champion"]


def test_an_8_bit_file_is_held_to_the_gate_but_for_parity_and_to_the_file_it_was_made_of():
    """It computes something else than torch does; how much it may lose is a line of its own."""
    gate = [
        CheckParams(slice="raw", metric="accuracy", at_least=0.8),
        CheckParams(metric="parity", at_most=1e-3),
        CheckParams(metric="file_mib", at_most=1.0),
    ]
    lines, against = int8_lines(gate, 0.02)
    assert [check.name for check in lines] == ["raw_accuracy", "file_mib"]
    assert (against.name, against.direction, against.threshold) == ("mean_accuracy_vs_fp32", "at least", -0.02)


def test_the_yardstick_says_what_the_lines_mean():
    """The confidence of the intervals and the views that slices are made of, unseen ones too."""
    how = EvaluateParams.model_validate(EVALUATE | {"unseen": ["webp", "blur"]})
    assert how.conditions == {"confidence": 0.95, "qualities": [5, 95], "unseen": ["webp", "blur"]}
