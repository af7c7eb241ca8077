"""What the model gains over `standard`, paired by image."""

import numpy as np
import pytest

from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.measures import measure_difference
from fct.gate.params import CheckParams
from fct.report.difference import differences

EVALUATE = {"qualities": (5, 50), "unseen": ("blur",), "unseen_images": None, "batch_size": 1, "confidence": 0.95}
IMAGES = 200


def evaluate(**changed):
    return EvaluateParams(**(EVALUATE | changed))


def predictions(*wrong, distortion="blur"):
    """Of raw, q5, q50 and a distortion, each with so many wrong predictions."""
    classes = np.array([[1] * count + [0] * (IMAGES - count) for count in wrong])
    return Predictions(
        ("raw", "q5", "q50", f"{distortion}/1"), classes, np.ones(classes.shape), np.zeros(IMAGES, np.int64)
    )


OWN, STANDARD = predictions(20, 30, 25, 40), predictions(10, 90, 25, 80)


def test_differences_are_those_of_the_gate():
    """Raw, mean, worst and unseen, in points; the interval tells better, worse and neither apart."""
    lines = differences(OWN, STANDARD, evaluate())
    values = [(line["difference, points"].split()[0], line["the model is"]) for line in lines]
    assert values == [("-5.00", "worse"), ("+15.00", "better"), ("+0.00", "not distinguishable"), ("+20.00", "better")]


def test_the_worst_quality_is_that_of_the_slice_worst():
    """It is the quality with the lowest bound, and the line names it."""
    line = differences(OWN, STANDARD, evaluate())[2]
    worst = measure_difference(CheckParams(slice="worst", metric="accuracy", champion=0), OWN, STANDARD, evaluate())
    assert line["accuracy on"] == "quality 50, where it gains least"
    assert f"({100 * worst.low:+.2f} to" in line["difference, points"]


@pytest.mark.parametrize("unseen", [(), ("bgr",)])
def test_without_judged_distortions_there_is_no_line_about_them(unseen):
    """A control alone is none."""
    own, standard = (predictions(20, 30, 25, 40, distortion="bgr") for _ in range(2))
    assert len(differences(own, standard, evaluate(unseen=unseen))) == 3
