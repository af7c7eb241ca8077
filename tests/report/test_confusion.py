"""Confusions as a table of few classes, or as pairs of many."""

import numpy as np

from fct.evaluate.predictions import NOT_MEASURED, Predictions
from fct.report.confusion import PAIRS, confusion, count


def predictions(labels, predicted):
    classes = np.array([predicted])
    return Predictions(("raw",), classes, np.ones(classes.shape), np.array(labels))


def test_a_row_is_the_share_of_a_true_class():
    """Of four cats, one is taken for a dog: 25 %. What rounds to 0 stays empty."""
    rows = confusion(predictions([0, 0, 0, 0, 1], [0, 0, 0, 1, 1]), ["cat", "dog"], "raw")["rows"]
    assert [(row["name"], [cell["text"] for cell in row["cells"]]) for row in rows] == [
        ("cat", ["75", "25"]),
        ("dog", ["", "100"]),
    ]


def test_images_that_were_not_measured_do_not_count():
    """A view of fewer images has no prediction for the others."""
    assert count(predictions([0, 1], [1, NOT_MEASURED]), 2, "raw").tolist() == [[0, 1], [0, 0]]


def test_of_many_classes_the_most_confused_pairs_are_shown():
    """At most 20, the most frequent first, with their number and their share of the true class."""
    names = [f"class {number}" for number in range(30)]
    labels = [*range(30), 0, 0]
    wrong = [(label + 1) % 30 for label in labels]
    shown = confusion(predictions(labels, wrong), names, "raw")
    assert shown["rows"] == []
    assert len(shown["pairs"]) == PAIRS
    assert shown["pairs"][0] == {
        "is": "class 0",
        "predicted as": "class 1",
        "images": "3",
        "of the class": "100.0 %",
    }


def test_right_predictions_are_no_pairs():
    """A model without errors has none."""
    assert confusion(predictions(range(30), range(30)), list(map(str, range(30))), "raw")["pairs"] == []
