"""Validation sees each image raw and at one trained quality, in turn."""

from itertools import chain

import numpy as np
import pytest
import torch

from fct.splits.store import Split
from fct.train import validation
from fct.train.validation import validate


class Echo(torch.nn.Module):
    """Predicts the class that an image's first pixel says, and notes what it was shown."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, 1, 1))
        self.seen = []

    def forward(self, image, quality):
        self.seen.append((image[:, 0, 0, 0].tolist(), quality.tolist(), self.training))
        return torch.nn.functional.one_hot(image[:, 0, 0, 0].long(), 4).float(), {}


def constant(values):
    return np.broadcast_to(np.asarray(values, np.uint8)[:, None, None, None], (len(values), 2, 2, 1)).copy()


@pytest.fixture
def split():
    """Ten images of class 1, of which the first six say so; every other one came as JPEG."""
    images = constant([1] * 6 + [0] * 4)
    return Split("val", images, np.ones(10, np.int64), np.array([100, 70] * 5), None)


VIEWS = {20: constant([2] * 10), 60: constant([1] * 10), 90: constant([3] * 10)}


def test_accuracies_are_the_shares_of_right_answers(split):
    """Six of ten raw; compressed, images 1, 4 and 7 are seen at quality 60, the only one that is answered right."""
    assert validate(Echo(), split, VIEWS, precision="fp32") == (0.6, 0.3, True)


def test_images_are_told_with_their_qualities(split, monkeypatch):
    """Raw images carry their own quality, compressed ones theirs in turn, also across the edges of batches."""
    monkeypatch.setattr(validation, "BATCH", 4)
    network = Echo()
    assert validate(network, split, VIEWS, precision="fp32") == (0.6, 0.3, True)
    raw, compressed = network.seen[::2], network.seen[1::2]
    assert list(chain.from_iterable(quality for _, quality, _ in raw)) == [100, 70] * 5
    assert list(chain.from_iterable(quality for _, quality, _ in compressed)) == [20, 60, 90] * 3 + [20]
    assert list(chain.from_iterable(pixels for pixels, _, _ in compressed)) == [2, 1, 3] * 3 + [2]


def test_logits_that_are_not_numbers_are_told(split):
    """One infinite logit of one compressed image is enough."""

    class Broken(Echo):
        def forward(self, image, quality):
            logits, features = super().forward(image, quality)
            return logits / (quality != 90)[:, None], features

    assert not validate(Broken(), split, VIEWS, precision="fp32").finite


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_given_back(split, training):
    """The network is measured in evaluation mode and left in the mode that it was in."""
    network = Echo().train(training)
    validate(network, split, VIEWS, precision="fp32")
    assert network.training == training
    assert not any(mode for _, _, mode in network.seen)
