"""The chart of unseen distortions stays readable when there are many."""

from typing import get_args

import numpy as np
import pytest

from fct.evaluate.params import EvaluateParams, Unseen
from fct.evaluate.predictions import NOT_MEASURED, Predictions
from fct.evaluate.unseen import UNSEEN, Kind
from fct.report.unseen import CONTROL, HEADINGS, Line, chart, lines, severities


def test_distortions_are_grouped_by_kind_under_their_titles():
    """In the order of kinds, whatever the order of params.yaml."""
    assert lines(("resize-box", "blur", "webp", "noise")) == [
        Line("Other codecs"),
        Line("WebP", "webp"),
        Line("Corruptions"),
        Line("Gaussian blur", "blur"),
        Line("Gaussian noise", "noise"),
        Line("Resizers"),
        Line("Pillow box", "resize-box"),
    ]


def test_controls_stand_apart():
    """At the end, and not among colours."""
    assert lines(("bgr", "range")) == [
        Line("Colour"),
        Line("range mistaken", "range"),
        Line(CONTROL),
        Line("BGR for RGB", "bgr"),
    ]


def test_every_distortion_has_a_line_and_every_kind_a_heading():
    """No new one is forgotten."""
    assert set(HEADINGS) == set(get_args(Kind))
    assert {line.name for line in lines(get_args(Unseen)) if line.name} == set(UNSEEN)


def predictions(views, images=10):
    classes = np.zeros((len(views), images), np.int64)
    return Predictions(tuple(views), classes, np.ones(classes.shape), np.zeros(images, np.int64))


def test_severities_are_measured_on_the_images_that_a_view_has():
    """Images without a prediction are no errors."""
    of_model = predictions(["raw", "blur/1", "blur/2"])
    of_model.classes[1, 5:] = NOT_MEASURED
    of_model.classes[2] = [1] * 4 + [0] + [NOT_MEASURED] * 5
    assert severities(of_model, "blur") == [1.0, pytest.approx(0.2)]


def test_the_chart_holds_all_titles():
    """Every distortion of the project, for two models."""
    views = ["raw", "q5", *(f"{name}/{n + 1}" for name, one in UNSEEN.items() for n in range(len(one.levels)))]
    evaluate = EvaluateParams(qualities=(5,), unseen=tuple(UNSEEN), unseen_images=None, batch_size=1, confidence=0.95)
    drawn = chart({"candidate": predictions(views), "standard": predictions(views)}, evaluate)
    assert all(one.title in drawn for one in UNSEEN.values())
    assert CONTROL in drawn
