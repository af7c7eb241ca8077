"""Validation sees each image raw and at one of the trained qualities, which take turns."""

from itertools import chain

import numpy as np
import pytest
import torch

from fct.splits.store import Split
from fct.train import validation
from fct.train.group import Group
from fct.train.validation import validate


class Echo(torch.nn.Module):
    """A network that predicts the value of an image's first pixel, and records its inputs."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, 1, 1))
        self.inputs = []

    def forward(self, image, quality):
        self.inputs.append((image[:, 0, 0, 0].tolist(), quality.tolist(), self.training))
        return torch.nn.functional.one_hot(image[:, 0, 0, 0].long(), 4).float(), {}


def constant(values):
    return np.broadcast_to(np.asarray(values, np.uint8)[:, None, None, None], (len(values), 2, 2, 1)).copy()


@pytest.fixture
def split():
    """Ten images of class 1, the first six of which are predicted correctly. Every other one was a JPEG."""
    images = constant([1] * 6 + [0] * 4)
    return Split("val", images, np.ones(10, np.int64), np.array([100, 70] * 5), None)


VIEWS = {20: constant([2] * 10), 60: constant([1] * 10), 90: constant([3] * 10)}


def test_accuracies_are_the_shares_of_correct_predictions(split):
    """Six of ten raw images are correct, and the three compressed images at quality 60, the only correct quality."""
    assert validate(Echo(), split, VIEWS, precision="fp32") == (0.6, 0.3, True)


def test_the_network_gets_the_quality_of_each_image(split, monkeypatch):
    """Raw images have the quality of their file; compressed images take turns, also from batch to batch."""
    monkeypatch.setattr(validation, "BATCH", 4)
    network = Echo()
    assert validate(network, split, VIEWS, precision="fp32") == (0.6, 0.3, True)
    raw, compressed = network.inputs[::2], network.inputs[1::2]
    assert list(chain.from_iterable(quality for _, quality, _ in raw)) == [100, 70] * 5
    assert list(chain.from_iterable(quality for _, quality, _ in compressed)) == [20, 60, 90] * 3 + [20]
    assert list(chain.from_iterable(pixels for pixels, _, _ in compressed)) == [2, 1, 3] * 3 + [2]


def test_processes_take_turns_over_the_passes(split, monkeypatch):
    """Together they see each image once; each divides what all have counted by the number of all images."""
    monkeypatch.setattr(validation, "BATCH", 4)
    monkeypatch.setattr(Group, "sum", lambda _self, values: values)  # what each has counted itself
    parts = [validate(Echo(), split, VIEWS, precision="fp32", group=Group(rank, 2)) for rank in range(2)]
    assert sum(part.raw for part in parts) == pytest.approx(0.6)
    assert sum(part.compressed for part in parts) == pytest.approx(0.3)
    assert all(part.raw > 0 for part in parts)


def test_logits_that_are_not_finite_are_reported(split):
    """Infinite logits of some compressed images are enough."""

    class Broken(Echo):
        def forward(self, image, quality):
            logits, features = super().forward(image, quality)
            return logits / (quality != 90)[:, None], features

    assert not validate(Broken(), split, VIEWS, precision="fp32").finite


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored(split, training):
    """The network is measured in evaluation mode, and has its old mode afterwards."""
    network = Echo().train(training)
    validate(network, split, VIEWS, precision="fp32")
    assert network.training == training
    assert not any(mode for _, _, mode in network.inputs)
