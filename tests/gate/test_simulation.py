"""Of models whose true values are known: how often the gate passes what it should not, and what it should."""

import pytest

from benchmarks.gate import NOMINAL, cases, images_a_class, passed

CASES = {case.name: case for case in cases()}
MODELS = 300  # for each rate; `python -m benchmarks.gate` has more
SLOW = [pytest.mark.slow, pytest.mark.timeout(900)]


def simulate(name, above, images):
    """Return how many models passed, and of how many."""
    models = min(MODELS, CASES[name].rounds)
    return passed(CASES[name], above, images, models), models


@pytest.mark.parametrize(
    ("name", "images"), [pytest.param(*each, marks=SLOW) for each in ((c.name, n) for c in cases() for n in c.images)]
)
def test_at_the_threshold_a_model_passes_no_more_often_than_promised(name, images):
    """At most 2.5 % of models exactly at the threshold pass, as far as these models can tell (at 99.9 %)."""
    from scipy.stats import binom

    count, models = simulate(name, 0.0, images)
    assert count <= binom.ppf(0.999, models, NOMINAL)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        pytest.param(*each, marks=SLOW)
        for each in (
            ("raw accuracy, at least 80%", 0.9),
            ("mean accuracy, at least 80%", 0.95),
            ("mean accuracy, at least 95%", 0.95),
            ("worst accuracy, at least 80%", 0.5),
            ("mean accuracy, champion's less 1, 90% of answers its own", 0.95),
            ("10 trainings, deviation 0.5 points", 0.9),
        )
    ],
)
def test_two_points_above_it_most_pass(name, least):
    """5,000 images suffice to show two points; for the worst of five qualities each of them must show it."""
    count, models = simulate(name, 0.02, 5_000)
    assert count >= least * models


@pytest.mark.parametrize(("floor", "images"), [(0.5, 6), (0.8, 17), (0.95, 72), (0.99, 368)])
def test_a_class_needs_images_even_if_all_are_right(floor, images):
    """All right of n images show a floor f where f^n is at most 2.5 %: 5 images a class show not even one half."""
    assert images_a_class(floor, 1.0, 1) == images
    assert floor**images <= NOMINAL < floor ** (images - 1)


def test_more_classes_need_more_images_each():
    """Each class must show it, so that of many one is more often unlucky."""
    needed = [images_a_class(0.8, 0.9, classes) for classes in (2, 10, 1_000)]
    assert needed == sorted(set(needed))
