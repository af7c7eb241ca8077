"""The adapter refuses an output that is not what it was taken for."""

import numpy as np
import pytest

from fct.evaluate.adapter import Adapter, OutputError, scale_of

IMAGES, QUALITY = np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64)


class Session:
    """Gives the same output for any input."""

    def __init__(self, output):
        self.output = output

    def run(self, names, feed):  # noqa: ARG002
        return [np.array(self.output)]


def adapter(**more):
    return Adapter("image", None, "label", channels_last=True, normalisation=None, batch=None, **more)


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0]])
def test_a_label_without_a_class_is_refused(labels):
    """A label that no class has would be judged against the wrong names."""
    with pytest.raises(OutputError, match="there are 2 classes"):
        adapter(scale="labels", classes=2).logits(Session(labels), IMAGES, QUALITY)


def test_a_background_label_is_no_class_of_the_data():
    """Label 0 gets a column of its own behind the classes, and label 1 is class 0."""
    logits = adapter(scale="labels", classes=2, background=True).logits(Session([0, 1]), IMAGES, QUALITY)
    assert logits.argmax(1).tolist() == [2, 0]


def test_fewer_answers_than_images_are_refused():
    """A file that was exported for one image may give one row whatever the batch."""
    with pytest.raises(OutputError, match="has 1 rows for 2 images"):
        adapter().logits(Session([[0.1, 0.2]]), IMAGES, QUALITY)


@pytest.mark.parametrize(
    ("rows", "scale"),
    [
        ([[0.25, 0.75], [1, 0]], "probabilities"),
        ([[25, 75], [100, 0]], "probabilities"),
        ([[2.0, -1.0], [0.5, 0.5]], "logits"),
        ([[3.0, 4.0], [0.5, 0.5]], "logits"),
    ],
)
def test_probabilities_are_known_by_their_sum(rows, scale):
    """Rows of probabilities or percents have one sum; logits do not."""
    assert scale_of(np.array(rows, np.float64)) == scale
