"""Intervals hold what they promise, and more right answers never lower them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from fct.evaluate.intervals import (
    Estimate,
    difference,
    over_trainings,
    proportion,
    scaled,
    signed,
    student,
    summarise,
    worst,
)

SHARES = st.floats(0, 1)
IMAGES = st.integers(1, 5_000)


def rights(count, total):
    """Return `total` answers of which `count` are right."""
    return np.arange(total) < count


def test_a_proportion_has_the_interval_of_the_table():
    """8 of 10 at 95 %: 44.39 % to 97.48 % (Clopper and Pearson)."""
    estimate = proportion(rights(8, 10), 0.95)
    assert estimate.value == 0.8
    assert (estimate.low, estimate.high) == pytest.approx((0.443904, 0.974789), abs=1e-6)


@pytest.mark.parametrize("images", [1, 40, 5_000])
def test_all_right_is_not_certain(images):
    """The low bound is the accuracy at which so many images are all right in 2.5 % of all cases."""
    estimate = proportion(rights(images, images), 0.95)
    assert (estimate.low, estimate.high) == (pytest.approx(0.025 ** (1 / images)), 1.0)


@pytest.mark.parametrize("images", [30, 100, 1_000])
@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.95, 0.99])
def test_a_proportion_is_below_its_low_bound_no_more_often_than_promised(images, accuracy):
    """Summed over all counts of right answers, by their probability."""
    counts = np.arange(images + 1)
    above = [proportion(rights(count, images), 0.95).low > accuracy for count in counts]
    assert binom.pmf(counts, images, accuracy)[above].sum() <= 0.025


@pytest.mark.parametrize("images", [30, 60, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("margin", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("disagreement", [0.02, 0.05, 0.2, 0.4])
def test_a_difference_is_below_its_low_bound_no_more_often_than_promised(images, margin, disagreement):
    """Summed over all counts of images that one of two models alone has right, by their probability."""
    one, other = (disagreement - margin) / 2, (disagreement + margin) / 2
    counts = np.array([(b, c) for b in range(images + 1) for c in range(images + 1 - b)])
    chances = multinomial.pmf(np.column_stack([counts, images - counts.sum(1)]), images, [one, other, 1 - one - other])
    likely = chances > 1e-7
    above = [signed(b / images, c / images, images, 0.95).low > -margin for b, c in counts[likely]]
    assert chances[likely][above].sum() <= 0.025


def test_a_difference_agrees_with_the_normal_interval():
    """With many images, and 3 % and 1 % that one model alone has right: 2 % +- 1.96 sqrt((0.04 - 0.02^2) / N)."""
    values = np.repeat([1.0, -1.0, 0.0], [300, 100, 9_600])
    half = 1.959964 * math.sqrt((0.04 - 0.02**2) / 10_000)
    estimate = difference(values, 0.95)
    assert estimate.value == pytest.approx(0.02)
    assert (estimate.low, estimate.high) == pytest.approx((0.02 - half, 0.02 + half), abs=2e-4)


def test_no_difference_is_as_certain_as_so_many_images_make_it():
    """Of 300 images with equal answers the difference may be 1.2 %, of 3,000 a tenth of that."""
    estimate = difference(np.zeros(300), 0.95)
    reach = 1 - 0.025 ** (1 / 300)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0, -reach, reach))
    assert difference(np.zeros(3_000), 0.95).high == pytest.approx(reach / 10, rel=0.01)


@given(SHARES, SHARES, IMAGES, st.floats(0.5, 0.999))
def test_a_larger_share_has_no_lower_bounds(share, other, images, confidence):
    """Both bounds of a proportion rise with it."""
    low, high = sorted((share, other))
    one, more = (proportion(np.full(images, value), confidence) for value in (low, high))
    assert one.low <= more.low + 1e-9
    assert one.high <= more.high + 1e-9


@settings(max_examples=500)
@given(SHARES, SHARES, SHARES, IMAGES, st.floats(0.5, 0.999))
def test_more_images_for_one_side_lower_no_bound(positive, negative, step, images, confidence):
    """Both bounds of a difference rise with the share for +1, and with a smaller share for -1."""
    positive *= 1 - negative
    before = signed(positive, negative, images, confidence)
    gained = signed(positive + step * (1 - positive - negative), negative, images, confidence)
    lost_less = signed(positive, negative * step, images, confidence)
    for after in (gained, lost_less):
        assert after.low >= before.low - 1e-9
        assert after.high >= before.high - 1e-9


@given(SHARES, SHARES, IMAGES)
def test_a_difference_has_two_directions(positive, negative, images):
    """The champion against the model has the same interval, turned around."""
    positive *= 1 - negative
    one, other = signed(positive, negative, images, 0.95), signed(negative, positive, images, 0.95)
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))


@given(SHARES, SHARES, IMAGES)
def test_an_interval_holds_its_value(positive, negative, images):
    """Whatever the shares are."""
    positive *= 1 - negative
    for estimate in (signed(positive, negative, images, 0.95), proportion(np.full(images, positive), 0.95)):
        assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_more_confidence_is_wider():
    """A 99 % interval holds the 90 % one."""
    wide, narrow = proportion(rights(80, 100), 0.99), proportion(rights(80, 100), 0.9)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_same_images_in_more_views_are_no_new_evidence():
    """Nineteen qualities with equal answers leave the interval as wide as one; more images would not."""
    row = rights(300, 400)
    one, many = proportion(row, 0.95), proportion(np.repeat(row[None], 19, axis=0).mean(0), 0.95)
    assert many == one


@pytest.mark.parametrize(("images", "hard"), [(50, 0.02), (100, 0.01), (100, 0.02), (200, 0.01), (480, 0.005)])
def test_a_few_hard_images_do_not_deceive(images, hard):
    """Some images are wrong at half of their qualities, all others right: the bound is hardly ever above the truth."""
    rng = np.random.default_rng(0)
    is_hard = rng.random((2_000, images)) < hard
    shares = np.where(is_hard, rng.binomial(19, 0.5, is_hard.shape) / 19, 1.0)
    lows = np.array([proportion(row, 0.95).low for row in shares])
    assert (lows > 1 - hard / 2).mean() <= 0.025


@pytest.mark.parametrize(
    "estimate",
    [
        proportion(rights(8, 10), 0.95),
        difference(np.resize([1.0, 0.0, -1.0, 0.0], 80), 0.9),
        scaled(signed(0.2, 0.1, 10, 0.95), 2),
    ],
)
def test_more_images_narrow_an_interval_around_the_same_value(estimate):
    """`with_more` tells how far: to a tenth with 100 times as many, but for what few images add."""
    more = estimate.with_more(100)
    assert more.value == estimate.value
    assert (more.high - more.low) / (estimate.high - estimate.low) == pytest.approx(0.1, abs=0.02)


def test_larger_differences_have_their_own_scale():
    """A difference of two drops is from -2 to 2."""
    values = np.array([2.0, 0.0, -1.0, 0.5])
    estimate = difference(values, 0.95, largest=2.0)
    assert estimate.value == pytest.approx(values.mean())
    assert -2 <= estimate.low < estimate.high <= 2


def test_measurements_have_students_interval():
    """Of 1, 2 and 3: 2 +- 4.3027 / sqrt(3)."""
    estimate = student(np.array([1.0, 2.0, 3.0]), 0.95)
    assert (estimate.value, estimate.high - 2, 2 - estimate.low) == pytest.approx((2, 2.48414, 2.48414), abs=1e-4)


def test_the_low_bound_of_the_worst_is_rarely_above_the_truth():
    """With equal qualities the worst is the unluckiest; its low bound is above the true worst in few of 100 rounds."""
    random = np.random.default_rng(8)
    above = 0
    for _ in range(100):
        rows = random.random((8, 100)) < 0.7
        above += worst([proportion(row, 0.9) for row in rows], "at least").low > 0.7
    assert above <= 5  # 5 would be allowed of one quality


@pytest.mark.parametrize(("direction", "expected"), [("at least", 0.8), ("at most", 0.8)])
def test_the_worst_is_the_one_whose_bound_is_worst(direction, expected):
    """It decides whether all keep to the threshold, whatever the measured values are."""
    assert worst([Estimate(0.6, 0.5, 0.7), Estimate(0.8, 0.4, 0.9)], direction).value == expected


@pytest.mark.parametrize("direction", ["at least", "at most"])
def test_a_better_value_with_a_worse_bound_is_the_worst(direction):
    """What may be as low as 0.5 is worse than a lower value that is known better; so it is with what may be high."""
    vague, known = (
        Estimate(0.7, 0.5, 0.9),
        {"at least": Estimate(0.6, 0.55, 0.65), "at most": Estimate(0.8, 0.75, 0.85)},
    )
    assert worst([vague, known[direction]], direction) == vague


def test_a_summary_puts_each_row_at_its_quality():
    """Row 0 is raw; the others belong to the qualities in their order, and the worst names where it is."""
    estimate = summarise(np.stack([rights(9, 10), rights(8, 10), rights(5, 10)]), (95, 5), 0.95)
    assert estimate.raw == proportion(rights(9, 10), 0.95)
    assert estimate.curve == {95: proportion(rights(8, 10), 0.95), 5: proportion(rights(5, 10), 0.95)}
    assert estimate.worst_quality == 5
    assert estimate.as_json()["worst"]["value"] == 0.5


def test_the_mean_of_a_summary_is_over_the_qualities_alone():
    """Raw images do not count among them, and the worst of them is the one with the lowest bound."""
    rows = np.stack([rights(10, 10), rights(8, 10), rights(5, 10)])
    estimate = summarise(rows, (95, 5), 0.95)
    assert estimate.mean == proportion(rows[1:].mean(0), 0.95)
    assert estimate.mean.value == pytest.approx(0.65)
    assert estimate.worst == proportion(rows[2], 0.95)


def test_over_trainings_both_reaches_count():
    """Of 0.8, 0.84 and 0.82, Student's reach is 0.0497; with images of -0.03 and +0.01 the hypotenuse of each side."""
    estimate = over_trainings(np.array([0.8, 0.84, 0.82]), Estimate(0.8, 0.77, 0.81), 0.95)
    own = 4.30265 * 0.02 / math.sqrt(3)
    assert estimate.value == pytest.approx(0.82)
    assert estimate.low == pytest.approx(0.82 - math.hypot(own, 0.03), abs=1e-5)
    assert estimate.high == pytest.approx(0.82 + math.hypot(own, 0.01), abs=1e-5)


def test_of_equal_trainings_the_images_alone_count():
    """Trainings without any difference leave the interval over images as it is."""
    images = proportion(rights(80, 100), 0.95)
    estimate = over_trainings(np.array([0.8, 0.8]), images, 0.95)
    assert (estimate.low, estimate.high) == (pytest.approx(images.low), pytest.approx(images.high))
