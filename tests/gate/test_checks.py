"""The checks of the gate and their verdict."""

import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fct.core.errors import FctError
from fct.evaluate.intervals import Estimate, exact, proportion
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate import checks as gate
from fct.gate.checks import Check, closeness
from fct.gate.params import CheckParams

PARAMS = EvaluateParams(qualities=(10,), unseen=(), unseen_images=None, batch_size=1, confidence=0.95)


def check(value=0.9, margin=0.0, threshold=0.8, direction="at least", images=1000, name="raw_accuracy"):
    return Check(name, Estimate(value, value - margin, value + margin), threshold, direction, images)


@pytest.mark.parametrize(
    ("direction", "at", "better", "worse"), [("at least", 0.8, 0.8001, 0.7999), ("at most", 0.8, 0.7999, 0.8001)]
)
def test_a_check_passes_at_its_threshold_and_on_its_better_side(direction, at, better, worse):
    """At the threshold and beyond it a check passes, just short of it it fails."""
    assert check(at, direction=direction).passed
    assert check(better, direction=direction).passed
    assert not check(worse, direction=direction).passed


@pytest.mark.parametrize(("direction", "value"), [("at least", 0.82), ("at most", 0.78)])
def test_the_bound_decides(direction, value):
    """A point on the good side fails where its interval reaches over the threshold, and passes where it does not."""
    assert not check(value, 0.03, direction=direction).passed
    assert check(value, 0.01, direction=direction).passed


@pytest.mark.parametrize(
    ("right", "needed"),
    [
        (81, 6_200),  # it may be below the threshold: 62 times the images show that it is not
        (79, 6_300),  # that it fails is as open
        (95, None),  # it passes
        (60, None),  # it fails
        (80, None),  # on the threshold itself no number of images tells
    ],
)
def test_a_close_call_says_how_many_images_would_settle_it(right, needed):
    """With so many images of this accuracy the interval leaves the threshold out; a tenth fewer do not suffice."""
    estimate = proportion(np.arange(100) < right, 0.95)
    result = Check("raw_accuracy", estimate, 0.8, "at least", 100).images_to_settle
    assert result == (needed if needed is None else pytest.approx(needed, rel=0.05))
    if result:
        enough, too_few = estimate.with_more(result / 100), estimate.with_more(0.9 * result / 100)
        assert not enough.low < 0.8 < enough.high
        assert too_few.low < 0.8 < too_few.high


def test_a_difference_that_no_gate_split_can_show_is_called_so():
    """Of a hundredth, thousands of images tell. Of a hundredth of a hundredth nobody has as many as it takes."""
    estimate = proportion(np.arange(100) < 81, 0.95)
    close, hopeless = (
        closeness(Check("raw_accuracy", estimate, threshold, "at least", 100).as_json()) for threshold in (0.8, 0.8099)
    )
    assert close.endswith("images would settle it")
    assert hopeless == "  images cannot settle it: the value is 0.0001 from the threshold"


def test_an_exact_value_is_never_close():
    """No number of images changes the size of a file."""
    assert check(0.79, images=0).images_to_settle is None


def predict_right(right, count=100):
    classes = np.stack([(np.arange(count) < right).astype(int)] * 2)
    return Predictions(("raw", "q10"), classes, np.full(classes.shape, 0.9), np.ones(count, int))


LINES = [
    CheckParams(slice="raw", metric="accuracy", at_least=0.5),
    CheckParams(metric="file_mib", at_most=2.0),
    CheckParams(slice="mean", metric="accuracy", champion=0.05),
]


def test_every_line_but_the_champions_is_judged():
    """The checks are in the order of the lines, and the value of the file is the given one."""
    result = gate.check_lines(LINES, predict_right(80), {"file_mib": exact(3.0)}, PARAMS)
    assert [(check.name, check.estimate.value, check.passed) for check in result] == [
        ("raw_accuracy", 0.8, True),
        ("file_mib", 3.0, False),
    ]


OVER_TRAININGS = CheckParams(slice="raw", metric="accuracy", at_least=0.5, over="trainings")


def test_a_line_over_trainings_is_judged_by_their_mean():
    """The value is the mean of the trainings, not the model's, and the other lines are judged elsewhere."""
    lines = [*LINES, OVER_TRAININGS]
    [result] = gate.check_trainings(lines, predict_right(80), {"raw_accuracy": (0.7, 0.72, 0.71)}, PARAMS)
    assert (result.name, result.estimate.value) == ("raw_accuracy_over_trainings", pytest.approx(0.71))
    assert result.passed
    assert "raw_accuracy_over_trainings" not in [
        check.name for check in gate.check_lines(lines, predict_right(80), {"file_mib": exact(3.0)}, PARAMS)
    ]


def test_trainings_that_differ_much_fail_a_mean_that_equal_ones_pass():
    """The same mean of three trainings passes where they agree; how many images would settle it is not told."""
    agreeing, differing = (
        gate.check_trainings([OVER_TRAININGS], predict_right(80), {"raw_accuracy": values}, PARAMS)[0]
        for values in ((0.8, 0.8, 0.8), (0.6, 0.8, 1.0))
    )
    assert (agreeing.passed, differing.passed) == (True, False)
    assert differing.images_to_settle is None


@pytest.mark.parametrize(("right", "passed"), [(80, True), (60, False)])
def test_the_champions_lines_are_judged_against_it(right, passed):
    """A model as good as the champion passes, one far worse does not."""
    (result,) = gate.check_against(LINES, predict_right(right), predict_right(80), PARAMS)
    assert (result.name, result.passed) == ("mean_accuracy_vs_champion", passed)


CHECKS = [
    check(margin=0.01),
    Check("worst_accuracy", proportion(np.arange(1_000) < 790, 0.95), 0.8, "at least", 1_000),
    check(0.5, images=0, threshold=2.0, direction="at most", name="file_mib"),
]


def make_verdict(checks=CHECKS):
    return gate.verdict(checks, model_sha256="ab" * 32, images=1_000, digest="0123456789abcdef", params=PARAMS)


def test_the_verdict_is_the_contract():
    """The verdict has exactly the agreed keys, and survives JSON unchanged."""
    result = make_verdict()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert {key: result[key] for key in result if key != "checks"} == {
        "verdict": "FAIL",
        "model_sha256": "ab" * 32,
        "split": {"name": "gate", "images": 1_000, "digest": "0123456789abcdef"},
        "confidence": 0.95,
        "qualities": [10],
        "unseen": [],
        "unseen_images": None,
    }
    assert result["checks"][0] == {
        "name": "raw_accuracy",
        "value": 0.9,
        "low": pytest.approx(0.89),
        "high": pytest.approx(0.91),
        "threshold": 0.8,
        "direction": "at least",
        "passed": True,
        "images": 1_000,
        "part": None,
        "images_to_settle": None,
    }


def test_all_checks_must_pass():
    """One failed check fails the verdict."""
    assert make_verdict(CHECKS[:1])["verdict"] == "PASS"
    assert make_verdict(CHECKS[:2])["verdict"] == "FAIL"


def test_the_metrics_are_numbers():
    """A tracking server gets each check's value, and 1 or 0 for what passed."""
    result = gate.metrics(make_verdict())
    assert (result["gate_passed"], result["gate_worst_accuracy_passed"], result["gate_raw_accuracy_passed"]) == (
        0,
        0,
        1,
    )
    assert (result["gate_raw_accuracy"], result["gate_file_mib"]) == (0.9, 0.5)


def test_the_table_says_every_check_in_words():
    """Without colour the table has plain words only: a line a check, what would settle a close one, the verdict."""
    lines = gate.format_verdict(make_verdict(), colour=False).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["raw_accuracy", "0.9", "0.8900", "to", "0.9100", "at", "least", "0.8", "PASS"]
    assert lines[2].endswith("FAIL  too close to call: about 6,400 images would settle it")
    assert lines[3].split() == ["file_mib", "0.5", "at", "most", "2", "PASS"]
    assert lines[-1] == "gate: FAIL on 1,000 images, model abababababab"


def test_the_table_says_which_checks_were_measured_on_fewer_images():
    """Unseen distortions may be measured on a sample; exact values are measured on no images."""
    sampled = dataclasses.replace(CHECKS[0], name="unseen_accuracy", images=200)
    lines = gate.format_verdict(make_verdict([*CHECKS, sampled]), colour=False).splitlines()
    assert lines[-2] == "on fewer images: unseen_accuracy on 200"


def test_the_table_colours_pass_and_fail():
    """With colour PASS is green and FAIL is red."""
    text = gate.format_verdict(make_verdict(), colour=True)
    assert text.count("\033[32mPASS\033[0m") == 2
    assert text.count("\033[31mFAIL\033[0m") == 2  # the check and the verdict


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_that_allow_it(monkeypatch):
    """A terminal gets colour unless NO_COLOR is set; a file or pipe never does."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert gate.wants_colour(Terminal())
    assert not gate.wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not gate.wants_colour(Terminal())


def test_checks_know_the_number_of_their_images():
    """Lines about views count the images of the split, those against a champion too; a file's size counts none."""
    judged = gate.check_lines(LINES, predict_right(80), {"file_mib": exact(3.0)}, PARAMS)
    assert [
        check.images for check in [*judged, *gate.check_against(LINES, predict_right(80), predict_right(80), PARAMS)]
    ] == [
        100,
        0,
        100,
    ]


@pytest.mark.parametrize("index", [0, 1])
def test_a_line_about_views_that_are_not_measured_is_refused(index):
    """The error names the line's place in params.yaml."""
    unmeasured = CheckParams(slice="q30", metric="accuracy", at_least=0.5)
    lines = [*LINES[:index], unmeasured, *LINES[index:]]
    with pytest.raises(FctError, match=rf"gate.*{index}.*'q30' is not measured"):
        gate.refuse_unmeasured_slices(lines, PARAMS)
    gate.refuse_unmeasured_slices(LINES, PARAMS)


def to_predictions(right, labels):
    """Return predictions to raw, q10, q90 and two levels of webp, right where `right` [5, N] says so."""
    classes = np.where(right, labels, labels + 1)
    return Predictions(("raw", "q10", "q90", "webp/1", "webp/2"), classes, np.full(classes.shape, 0.9), labels)


@st.composite
def improved(draw, least=1):
    """Draw predictions to 5 views of some images, and the same with one wrong prediction made right."""
    count = draw(st.integers(least, 24))
    right = draw(arrays(np.bool_, (5, count)).filter(lambda each: not each.all()))
    better = right.copy()
    better.flat[draw(st.sampled_from(np.flatnonzero(~right.ravel()).tolist()))] = True
    labels = np.arange(count) % 2
    return to_predictions(right, labels), to_predictions(better, labels)


ABSOLUTE = [
    CheckParams(slice=name, metric="accuracy", at_least=0.5)
    for name in ("raw", "q10", "q90", "mean", "worst", "worst-class", "webp", "unseen", "worst-unseen")
]
RELATIVE = [line.model_copy(update={"at_least": None, "champion": 0.05}) for line in ABSOLUTE]
ROUNDING = 1e-12  # of sums in another order


@settings(max_examples=200)
@given(improved())
def test_a_wrong_answer_made_right_never_fails_a_line(both):
    """Whatever the slice: the bound of its accuracy does not fall."""
    befores, afters = (gate.check_lines(ABSOLUTE, each, {}, PARAMS) for each in both)
    for before, after in zip(befores, afters, strict=True):
        assert after.estimate.low >= before.estimate.low - ROUNDING


@settings(max_examples=200)
@given(improved(), st.data())
def test_a_wrong_answer_made_right_never_fails_a_line_against_a_champion(both, data):
    """Against the same champion, whatever the slice: the bound of the difference does not fall."""
    champion = to_predictions(data.draw(arrays(np.bool_, both[0].classes.shape)), both[0].labels)
    befores, afters = (gate.check_against(RELATIVE, each, champion, PARAMS) for each in both)
    for before, after in zip(befores, afters, strict=True):
        assert after.estimate.low >= before.estimate.low - ROUNDING


@pytest.mark.parametrize(("images", "passes"), [(300, False), (367, False), (368, True), (2_000, True)])
def test_the_champion_again_passes_a_margin_that_the_images_can_show(images, passes):
    """Equal answers to 368 images show that the model is at most one point worse; fewer say how many would."""
    own = predict_right(images - 30, images)
    [check] = gate.check_against([CheckParams(slice="raw", metric="accuracy", champion=0.01)], own, own, PARAMS)
    assert check.passed == passes
    assert check.images_to_settle == (None if passes else pytest.approx(368, rel=0.01))


def test_a_perfect_class_passes_where_one_with_an_error_does():
    """40 images a class: all right passes no less than one wrong answer in every class."""
    line = CheckParams(slice="worst-class", metric="accuracy", at_least=0.95)
    labels = np.arange(80) % 2
    right = np.ones((5, 80), bool)
    worse = right.copy()
    worse[1, :2] = False
    perfect, imperfect = (
        gate.check_lines([line], to_predictions(each, labels), {}, PARAMS)[0] for each in (right, worse)
    )
    assert perfect.estimate.low > imperfect.estimate.low
    assert not perfect.passed  # 40 images cannot show it
