"""What the records of several seeds say together."""

import numpy as np

from benchmarks.comparison.records import Runs


def test_each_seed_has_its_own_order_of_conditions():
    """A codec that was added between two runs moves no accuracy to another column."""
    test = {"raw": 1.0, "q10": 0.5}
    records = {
        0: {"test": test, "unseen": {"noise/1": 0.0}},
        1: {"test": test, "unseen": {"avif/1": 1.0, "noise/1": 0.0}},
    }
    bits = {0: np.array([[1], [1], [0]], bool), 1: np.array([[1], [1], [1], [0]], bool)}
    assert Runs("pair", records, bits).values(["noise/1"], [0, 1]).tolist() == [[0.0], [0.0]]
