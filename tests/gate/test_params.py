"""The sections `evaluate` and `gate`: impossible values are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from fct.evaluate.params import EvaluateParams
from fct.gate.params import CheckParams, GateParams, int8_lines, slice_problem

EVALUATE = {"qualities": [5, 95], "unseen": [], "unseen_images": None, "batch_size": 256, "confidence": 0.95}


def test_good_values_are_taken():
    """Values in their ranges become the parameters, qualities in the order given."""
    assert EvaluateParams.model_validate(EVALUATE).qualities == (5, 95)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("qualities", [5, 50, 5], "5 appears more than once"),
        ("qualities", [0], "greater than or equal to 1"),
        ("qualities", [101], "less than or equal to 100"),
        ("qualities", [], "at least 1 item"),
        ("unseen", ["smoke"], "Input should be 'webp'"),
        ("unseen", ["webp", "webp"], "webp appears more than once"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("confidence", 1.0, "less than 1"),
    ],
)
def test_impossible_values_are_refused(key, value, message):
    """A value out of its range is refused with the range."""
    with pytest.raises(ValidationError, match=message):
        EvaluateParams.model_validate({**EVALUATE, key: value})


@pytest.mark.parametrize(
    ("line", "name", "direction", "threshold"),
    [
        ({"slice": "raw", "metric": "accuracy", "at_least": 0.8}, "raw_accuracy", "at least", 0.8),
        ({"slice": "bgr", "metric": "accuracy", "at_most": 0.5}, "bgr_accuracy_at_most", "at most", 0.5),
        ({"slice": "bgr", "metric": "drop", "at_least": 0.1}, "bgr_drop_at_least", "at least", 0.1),
        ({"slice": "q10", "metric": "drop", "at_most": 0.1}, "q10_drop", "at most", 0.1),
        ({"metric": "parity", "at_most": 1e-4}, "parity", "at most", 1e-4),
        ({"slice": "mean", "metric": "accuracy", "champion": 0.01}, "mean_accuracy_vs_champion", "at least", -0.01),
        ({"slice": "mean", "metric": "ece", "champion": 0.01}, "mean_ece_vs_champion", "at most", 0.01),
        (
            {"slice": "raw", "metric": "accuracy", "at_least": 0.8, "over": "trainings"},
            "raw_accuracy_over_trainings",
            "at least",
            0.8,
        ),
    ],
)
def test_a_line_has_a_name_a_direction_and_a_threshold(line, name, direction, threshold):
    """A model is worse than the champion with a lower accuracy or a higher error."""
    check = CheckParams.model_validate(line)
    assert (check.name, check.direction, check.threshold) == (name, direction, threshold)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"slice": "raw", "metric": "accuracy"}, "takes one of at_least, at_most, champion .not none"),
        ({"slice": "raw", "metric": "accuracy", "at_least": 0.5, "champion": 0.1}, "not at_least and champion"),
        ({"slice": "raw", "metric": "ece", "at_least": 0.5, "at_most": 0.6}, "not at_least and at_most"),
        ({"metric": "file_mib", "at_least": 0.5}, "takes one of at_most .not at_least"),
        (
            {"slice": "raw", "metric": "accuracy", "at_least": 80},
            "80 is not possible, as accuracy is a share from 0 to 1. Write 0.8 for 80 %",
        ),
        ({"slice": "raw", "metric": "accuracy", "at_least": -0.1}, "accuracy is a share from 0 to 1"),
        ({"slice": "mean", "metric": "drop", "at_most": 5}, "drop is a share from -1 to 1"),
        ({"slice": "mean", "metric": "ece", "at_most": 10}, "ece is a share from 0 to 1"),
        ({"slice": "mean", "metric": "accuracy", "champion": 1.5}, "accuracy is a share from 0 to 1"),
        ({"metric": "file_mib", "at_most": -1}, "file_mib is 0 or more"),
        ({"metric": "parity", "champion": 0.5}, "takes one of at_most"),
        ({"metric": "accuracy", "at_least": 0.5}, "needs a slice"),
        ({"slice": "raw", "metric": "parity", "at_most": 0.5}, "leave out slice"),
        ({"slice": "raw", "metric": "drop", "at_most": 0.5}, "compares with raw"),
        ({"slice": "raw", "metric": "agreement", "at_least": 0.5}, "compares with raw"),
        ({"slice": "raw", "metric": "beauty", "at_least": 0.5}, "Input should be"),
        ({"slice": "raw", "metric": "accuracy", "at_least": float("nan")}, "finite number"),
        ({"slice": "raw", "metric": "accuracy", "champion": -0.1}, "greater than or equal to 0"),
        ({"slice": "raw", "metric": "accuracy", "champion": 0.1, "over": "trainings"}, "takes at_least.*not champion"),
        ({"metric": "parity", "at_most": 0.1, "over": "trainings"}, "leave out over: trainings"),
        ({"slice": "raw", "metric": "accuracy", "at_least": 0.5, "over": "nights"}, "'images' or 'trainings'"),
    ],
)
def test_an_invalid_line_is_refused(line, message):
    """A line with no bound, too many bounds, or one on the wrong side is refused."""
    with pytest.raises(ValidationError, match=message):
        CheckParams.model_validate(line)


def test_a_check_appears_once():
    """Two thresholds for one check are refused."""
    line = {"slice": "raw", "metric": "accuracy", "at_least": 0.8}
    with pytest.raises(ValidationError, match="raw_accuracy is checked twice"):
        TypeAdapter(GateParams).validate_python([line, line | {"at_least": 0.9}])


def test_a_line_over_trainings_stands_beside_one_about_the_model():
    """The two ask for different things of the same value, and have different names."""
    line = {"slice": "raw", "metric": "accuracy", "at_least": 0.8}
    lines = TypeAdapter(GateParams).validate_python([line, line | {"over": "trainings"}])
    assert [check.name for check in lines] == ["raw_accuracy", "raw_accuracy_over_trainings"]
    assert {check.value_name for check in lines} == {"raw_accuracy"}


def test_lines_of_both_directions_are_about_two_values():
    """The worst part of a slice depends on the direction, and so does the value."""
    line = {"slice": "worst-class", "metric": "accuracy", "over": "trainings"}
    lines = TypeAdapter(GateParams).validate_python([line | {"at_least": 0.5}, line | {"at_most": 0.9}])
    assert [check.value_name for check in lines] == ["worst-class_accuracy", "worst-class_accuracy_at_most"]
    assert [check.name for check in lines] == [f"{check.value_name}_over_trainings" for check in lines]


def test_a_gate_needs_a_line_that_needs_no_champion():
    """A gate whose lines all compare with a champion is refused: the first model would pass without a check."""
    with pytest.raises(ValidationError, match="all lines compare with a champion"):
        TypeAdapter(GateParams).validate_python([{"slice": "mean", "metric": "accuracy", "champion": 0.01}])


@pytest.mark.parametrize(
    ("name", "unseen", "problem"),
    [
        ("q5", [], None),
        ("worst-class", [], None),
        ("webp", ["webp"], None),
        ("worst-unseen", ["webp"], None),
        ("q10", [], "Add 10 to evaluate.qualities"),
        ("webp", [], "Add it to evaluate.unseen"),
        ("unseen", [], "evaluate.unseen, which is empty. Add a distortion, or name one of"),
        ("worst-unseen", [], "evaluate.unseen, which is empty"),
        ("bgr", ["bgr"], None),
        ("unseen", ["bgr"], "names only controls"),
        ("rwa", [], "there is no slice 'rwa'. Did you mean 'raw'?"),
    ],
)
def test_a_slice_must_be_measured(name, unseen, problem):
    """A line about views that the evaluation leaves out cannot be judged."""
    check = CheckParams(slice=name, metric="accuracy", at_least=0.5)
    message = slice_problem(check, EvaluateParams.model_validate(EVALUATE | {"unseen": unseen}))
    assert (message is None) == (problem is None)
    assert problem is None or problem in message


def test_a_gate_may_have_lines_of_both_kinds():
    """Lines with a threshold of their own stand beside lines against the champion."""
    own = {"slice": "raw", "metric": "accuracy", "at_least": 0.8}
    against = {"slice": "mean", "metric": "accuracy", "champion": 0.01}
    lines = TypeAdapter(GateParams).validate_python([own, against])
    assert [check.name for check in lines] == ["raw_accuracy", "mean_accuracy_vs_champion"]


def test_an_8_bit_file_must_pass_the_gate_without_parity_and_a_line_against_fp32():
    """The lines are those of the gate without parity and trainings, and one about the accuracy that it may lose."""
    gate = [
        CheckParams(slice="raw", metric="accuracy", at_least=0.8),
        CheckParams(slice="raw", metric="accuracy", at_least=0.7, over="trainings"),
        CheckParams(metric="parity", at_most=1e-3),
        CheckParams(metric="file_mib", at_most=1.0),
    ]
    lines, against = int8_lines(gate, 0.02)
    assert [check.name for check in lines] == ["raw_accuracy", "file_mib"]
    assert (against.name, against.direction, against.threshold) == ("mean_accuracy_vs_fp32", "at least", -0.02)


def test_the_conditions_are_all_that_a_value_depends_on():
    """The batch size alone is no condition."""
    params = EvaluateParams.model_validate(EVALUATE | {"unseen": ["webp", "blur"], "unseen_images": 100})
    views = {"qualities": [5, 95], "unseen": ["webp", "blur"], "unseen_images": 100}
    assert params.conditions == {"confidence": 0.95} | views
