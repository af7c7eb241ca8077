"""Intervals hold what they promise."""

import numpy as np
import pytest

from fct.evaluate.intervals import Estimate, average, resampled, summarise, wilson, worst
from fct.evaluate.params import EvaluateParams


def params(resamples=400, seed=0, qualities=(5, 95)):
    return EvaluateParams(qualities=qualities, unseen=(), batch_size=1, resamples=resamples, confidence=0.95, seed=seed)


def rights(count, total):
    """Return `total` answers of which `count` are right."""
    return np.arange(total) < count


def same_images(images, qualities, random):
    """Return answers [Q, N] to images of very different difficulty, each alike at every quality, and the true mean."""
    chance = random.beta(0.5, 0.5, images)  # mean 0.5
    return random.random((qualities, images)) < chance


def test_wilson_is_the_hand_computed_interval():
    """8 of 10: centre (0.8 + z²/20) / (1 + z²/10), half-width z √(0.016 + z²/400) / (1 + z²/10), with z = 1.959964."""
    estimate = wilson(rights(8, 10), 0.95)
    assert estimate.value == 0.8
    assert (estimate.low, estimate.high) == pytest.approx((0.716740 - 0.226577, 0.716740 + 0.226577), abs=2e-6)


def test_wilson_of_all_right_is_not_certain():
    """10 of 10: the low bound is 10 / (10 + z²), not 1."""
    assert wilson(rights(10, 10), 0.95).low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6)


def test_more_confidence_is_wider():
    """A 99% interval holds the 90% one."""
    wide, narrow = wilson(rights(80, 100), 0.99), wilson(rights(80, 100), 0.9)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_bootstrap_of_two_images_is_the_hand_computed_one():
    """One image right and one wrong: a quarter of the resamples are all wrong, a quarter all right, so from 0 to 1."""
    assert average(np.array([[True, False]] * 2), params()) == Estimate(0.5, 0.0, 1.0)


def test_the_bootstrap_agrees_with_the_normal_interval():
    """For many images alike at both qualities the interval is p ± 1.96 √(p (1 - p) / N)."""
    estimate = average(np.repeat(rights(800, 1000)[None], 2, axis=0), params(resamples=4000))
    half = 1.959964 * np.sqrt(0.8 * 0.2 / 1000)
    assert (estimate.low, estimate.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.003)


def test_the_same_images_at_more_qualities_are_no_new_evidence():
    """Nineteen qualities with equal answers leave the interval as wide as two; more images would not."""
    row = rights(300, 400)[None]
    two, many = (average(np.repeat(row, count, axis=0), params()) for count in (2, 19))
    assert (many.low, many.high) == pytest.approx((two.low, two.high), abs=1e-9)
    pretended = wilson(np.repeat(row, 19), 0.95)
    assert many.high - many.low > 4 * (pretended.high - pretended.low)


def test_the_mean_covers_the_truth_as_often_as_promised_where_images_recur():
    """95% intervals hold the true mean about 95 times in 100; counting each prediction as its own image does not."""
    random = np.random.default_rng(7)
    by_image = pooled = 0
    rounds = 200
    for seed in range(rounds):
        correct = same_images(150, 5, random)
        mean = average(correct, params(resamples=200, seed=seed))
        naive = wilson(correct.ravel(), 0.95)
        by_image += mean.low <= 0.5 <= mean.high
        pooled += naive.low <= 0.5 <= naive.high
    assert 0.9 <= by_image / rounds <= 0.985
    assert pooled / rounds < 0.8


def test_the_low_bound_of_the_worst_is_rarely_above_the_truth():
    """With equal qualities the worst is the unluckiest; its low bound is above the true worst in few of 100 rounds."""
    random = np.random.default_rng(8)
    above = 0
    for _ in range(100):
        rows = random.random((8, 100)) < 0.7
        above += worst([wilson(row, 0.9) for row in rows], "at least").low > 0.7
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


@pytest.mark.parametrize(("images", "low"), [(1, 0.206549), (30, 30 / (30 + 1.959964**2))])
def test_all_right_is_not_certain(images, low):
    """Where resampling moves nothing, Wilson's interval for that many images stands."""
    mean = average(np.ones((3, images), bool), params())
    assert (mean.value, mean.low, mean.high) == pytest.approx((1, low, 1), abs=1e-6)


def test_any_statistic_of_means_is_resampled():
    """Of two columns the absolute difference of their means, with an interval that holds it."""
    columns = np.random.default_rng(1).random((200, 2))
    estimate = resampled(columns, lambda means: np.abs(means[..., 0] - means[..., 1]), params())
    assert estimate.value == pytest.approx(abs(columns[:, 0].mean() - columns[:, 1].mean()))
    assert estimate.low <= estimate.value <= estimate.high


def test_the_seed_decides():
    """The same seed gives the same interval, another one another."""
    correct = np.random.default_rng(2).random((4, 333)) < 0.8
    first, again, other = (average(correct, params(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_bounded_batches_do_not_change_the_interval(monkeypatch):
    """Drawing few resamples at a time gives what drawing all at once gives."""
    correct = np.random.default_rng(3).random((4, 50)) < 0.8
    whole = average(correct, params())
    monkeypatch.setattr("fct.evaluate.intervals.BATCH", 120)
    assert average(correct, params()) == whole


def test_a_summary_puts_each_row_at_its_quality():
    """Row 0 is raw; the others belong to the qualities in their order, and the worst names where it is."""
    estimate = summarise(np.stack([rights(9, 10), rights(8, 10), rights(5, 10)]), (95, 5), params())
    assert estimate.raw == wilson(rights(9, 10), 0.95)
    assert estimate.curve == {95: wilson(rights(8, 10), 0.95), 5: wilson(rights(5, 10), 0.95)}
    assert estimate.worst_quality == 5
    assert estimate.as_json()["worst"]["value"] == 0.5


def test_an_interval_holds_its_value_where_resampling_moves_it_away():
    """A difference of 0, taken without its sign, is larger in nearly all resamples; the interval begins at 0."""
    half = np.random.default_rng(4).random((50, 1))  # no two alike: hardly a resample has a mean of 0
    estimate = resampled(np.concatenate([half, -half]), lambda means: np.abs(means[..., 0]), params())
    assert estimate.low == estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.high > 0.01


def test_the_mean_of_a_summary_is_over_the_qualities_alone():
    """Raw images do not count among them, and the worst of them is the one with the lowest bound."""
    rows = np.stack([rights(10, 10), rights(8, 10), rights(5, 10)])
    estimate = summarise(rows, (95, 5), params())
    assert estimate.mean == average(rows[1:], params())
    assert estimate.mean.value == pytest.approx(0.65)
    assert estimate.worst == wilson(rows[2], 0.95)
