"""Each metric of each slice, and the difference from a champion."""

import dataclasses

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.evaluate.intervals import over_trainings, proportion
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import NOT_MEASURED, Predictions
from fct.gate.measures import count_images, measure, measure_difference, measure_trainings, parts
from fct.gate.params import CheckParams

PARAMS = EvaluateParams(qualities=(10, 90), unseen=("webp",), unseen_images=None, batch_size=1, confidence=0.95)
VIEWS = ("raw", "q10", "q90", "webp/1", "webp/2", "blur/1")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
#            of class 0   of class 1
CLASSES = np.array(
    [
        [0, 0, 0, 0, 1, 1, 1, 0],  # raw: 7 of 8
        [0, 0, 1, 1, 1, 1, 1, 0],  # q10: 5 of 8
        [0, 0, 0, 0, 1, 1, 1, 1],  # q90: 8 of 8
        [1, 1, 1, 1, 1, 1, 1, 1],  # webp/1: 4 of 8
        [0, 0, 0, 0, 0, 0, 0, 0],  # webp/2: 4 of 8
        [1, 1, 1, 1, 0, 0, 0, 1],  # blur/1: 1 of 8
    ]
)
PREDICTIONS = Predictions(VIEWS, CLASSES, np.full(CLASSES.shape, 0.75), LABELS)


def line(name, metric="accuracy", **bound):
    side = "at_least" if metric in ("accuracy", "agreement") else "at_most"
    return CheckParams(slice=name, metric=metric, **(bound or {side: 0.5}))


@pytest.mark.parametrize(
    ("name", "part"), [("worst", "q10"), ("worst-unseen", "blur"), ("worst-class", "class 0"), ("mean", None)]
)
def test_the_worst_part_is_named(name, part):
    """A reader wants to know which quality, distortion or class it is."""
    assert measure(line(name), PREDICTIONS, PARAMS).part == part


def test_a_control_is_judged_by_its_own_name_alone():
    """Mistakes that a model must notice are no part of the unseen distortions that it must bear."""
    views = (*VIEWS[:-1], "bgr/1")
    predictions = Predictions(views, CLASSES, PREDICTIONS.confidence, LABELS)
    assert measure(line("bgr"), predictions, PARAMS).value == 1 / 8
    assert measure(line("unseen"), predictions, PARAMS).value == 4 / 8
    assert measure(line("worst-unseen"), predictions, PARAMS).value == 4 / 8


def test_a_view_on_fewer_images_is_judged_on_these():
    """Distortions that were measured on every second image have the interval of that many images."""
    classes = CLASSES.copy()
    classes[3:, 1::2] = NOT_MEASURED
    predictions = Predictions(VIEWS, classes, PREDICTIONS.confidence, LABELS)
    assert measure(line("webp"), predictions, PARAMS) == proportion(np.full(4, 0.5), 0.95)
    assert count_images("webp", predictions) == 4
    assert count_images("mean", predictions) == 8
    raw, webp = PREDICTIONS.correct[0, ::2].mean(), 0.5
    assert measure(line("webp", "drop"), predictions, PARAMS).value == pytest.approx(raw - webp)


@pytest.mark.parametrize(
    ("name", "metric", "value"),
    [
        ("raw", "accuracy", 7 / 8),
        ("q10", "accuracy", 5 / 8),
        ("mean", "accuracy", 13 / 16),
        ("worst", "accuracy", 5 / 8),
        ("worst-class", "accuracy", 6 / 8),  # class 0: 2 + 4 of 8; class 1: 3 + 4
        ("webp", "accuracy", 4 / 8),
        ("unseen", "accuracy", 9 / 24),
        ("worst-unseen", "accuracy", 1 / 8),
        ("q10", "agreement", 6 / 8),
        ("mean", "agreement", 13 / 16),
        ("worst", "agreement", 6 / 8),
        ("q10", "drop", 2 / 8),
        ("mean", "drop", 1 / 16),
        ("worst", "drop", 2 / 8),
        ("raw", "ece", 7 / 8 - 0.75),
        ("mean", "ece", 13 / 16 - 0.75),
        ("worst", "ece", 0.25),
    ],
)
def test_by_hand(name, metric, value):
    """Each metric of each slice is the hand-computed one, and the interval holds it."""
    estimate = measure(line(name, metric), PREDICTIONS, PARAMS)
    assert estimate.value == pytest.approx(value)
    assert estimate.low <= estimate.value <= estimate.high


def test_one_view_is_a_proportion_of_images():
    """Accuracy and agreement of a single view have the interval of a proportion."""
    assert measure(line("q10"), PREDICTIONS, PARAMS) == proportion(CLASSES[1] == LABELS, 0.95)


def test_the_bound_of_the_worst_is_the_worst_bound():
    """All qualities keep to a floor exactly if each one's bound does."""
    lows = [measure(line(name), PREDICTIONS, PARAMS).low for name in ("q10", "q90")]
    assert measure(line("worst"), PREDICTIONS, PARAMS).low == min(lows)


def test_every_view_counts_in_calibration():
    """Answers that are sure and wrong, and unsure and right, do not cancel: they fall into different bins."""
    answers = Predictions(
        ("raw", "q10"), np.array([[0, 0], [0, 0]]), np.array([[0.9, 0.6], [0.9, 0.6]]), np.array([1, 0])
    )
    assert measure(line("q10", "ece"), answers, PARAMS).value == pytest.approx((0.9 + 0.4) / 2)


def test_parts_of_a_class_hold_its_images():
    """worst-class has a part a class, over the qualities of the sweep."""
    first, second = parts("worst-class", PREDICTIONS)
    assert (first.images.tolist(), second.images.tolist()) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert first.rows == [1, 2]


def random_predictions(rng, chance, count=400):
    right = rng.random((3, count)) < chance
    return Predictions(("raw", "q10", "q90"), right.astype(int), np.full(right.shape, 0.8), np.ones(count, int))


@pytest.mark.parametrize(("metric", "scale"), [("accuracy", 1), ("agreement", 1), ("drop", 2)])
def test_a_model_against_itself_has_no_difference(metric, scale):
    """Of the same answers every difference is 0, as certain as a share that was seen in none of the images."""
    own = random_predictions(np.random.default_rng(0), 0.8)
    estimate = measure_difference(line("q10", metric, champion=0), own, own, PARAMS)
    reach = scale * proportion(np.zeros(own.labels.size, bool), PARAMS.confidence).high
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, -reach, reach))


def test_the_same_calibration_has_no_difference():
    """The interval is that of the errors of different images."""
    own = random_predictions(np.random.default_rng(0), 0.8)
    estimate = measure_difference(line("q10", "ece", champion=0), own, own, PARAMS)
    assert estimate.value == 0
    assert -0.1 < estimate.low < 0 < estimate.high < 0.1


@pytest.mark.parametrize(("error", "images"), [(0.0, 100), (0.0, 1_000), (0.05, 100), (0.05, 1_000)])
def test_a_calibration_error_is_above_its_bound_no_more_often_than_promised(error, images):
    """Of 1,000 models that are too sure by so much, the upper bound is below their true error in at most 2.5 %."""
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(1_000):
        sure = rng.uniform(0.5, 1.0, images)
        right = rng.random(images) < np.maximum(0, sure - error)
        answers = Predictions(
            ("raw", "q10"), np.stack([right, right]).astype(int), np.stack([sure, sure]), np.ones(images, int)
        )
        below += measure(line("q10", "ece"), answers, PARAMS).high < error
    assert below <= 25


def test_answers_to_other_views_are_not_compared():
    """A view that only one has would shift the rows of all later ones."""
    own = random_predictions(np.random.default_rng(0), 0.8)
    other = dataclasses.replace(own, views=("raw", "q10", "q80"))
    with pytest.raises(FctError, match="measured on different views"):
        measure_difference(line("mean", "accuracy", champion=0), own, other, PARAMS)


def test_a_drop_that_no_image_shows_is_not_certain():
    """That none of 200 images is lost happens to a model that loses 1.2 % of all, too, once in eleven times."""
    own = Predictions(("raw", "q10", "q90"), np.ones((3, 200), int), np.full((3, 200), 0.8), np.ones(200, int))
    assert measure(line("q10", "drop", at_most=0.01), own, PARAMS).high > 0.012


def test_pairing_is_by_image():
    """A model that errs on the champion's images and a few more is told apart where an unpaired test would not."""
    champion = random_predictions(np.random.default_rng(0), 0.7)
    classes = champion.classes.copy()
    classes[:, :8] = 0
    own = Predictions(champion.views, classes, champion.confidence, champion.labels)
    assert measure_difference(line("mean", champion=0.001), own, champion, PARAMS).high < 0


def test_the_interval_of_a_difference_narrows_with_images():
    """The same difference on 16 times the images has an interval of a quarter of the width."""
    widths = []
    for count in (250, 4000):
        rng = np.random.default_rng(0)
        estimate = measure_difference(
            line("mean", champion=0), random_predictions(rng, 0.8, count), random_predictions(rng, 0.8, count), PARAMS
        )
        widths.append(estimate.high - estimate.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)


def test_the_surest_answers_are_calibrated_too():
    """Answers of confidence 1 that are wrong are as far off as can be."""
    sure = Predictions(("raw", "q10"), np.zeros((2, 4), int), np.ones((2, 4)), np.array([0, 1, 1, 1]))
    assert measure(line("q10", "ece"), sure, PARAMS).value == pytest.approx(0.75)


@pytest.mark.parametrize(("metric", "value"), [("accuracy", -0.5), ("ece", 0.5)])
def test_the_worst_difference_from_a_champion_is_where_the_model_is_worst(metric, value):
    """Of two qualities the one where it loses most counts, be it accuracy that is lost or error that is gained."""
    labels = np.ones(40, int)
    good, half = labels, (np.arange(40) < 20).astype(int)

    def of(*views):
        return Predictions(("raw", "q10", "q90"), np.stack(views), np.ones((3, 40)), labels)

    assert (
        measure_difference(line("worst", metric, champion=0), of(good, good, half), of(good, good, good), PARAMS).value
        == value
    )


@pytest.mark.parametrize("name", ["raw", "worst", "worst-class"])
def test_over_trainings_the_images_are_those_of_the_model_on_the_slice(name):
    """The mean is that of the trainings; what images add is the model's interval on the same slice."""
    values = (0.6, 0.7, 0.65)
    own = measure(line(name), PREDICTIONS, PARAMS)
    assert measure_trainings(line(name), PREDICTIONS, values, PARAMS) == over_trainings(np.array(values), own, 0.95)
