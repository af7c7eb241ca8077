"""One run of the comparison."""

import pytest

from benchmarks.comparison.run import place
from fct.core.errors import FctError


def test_a_trial_has_no_other_seed_than_the_first():
    """All methods' trials are of one seed, and their files are named by the trial alone: another seed is refused."""
    with pytest.raises(FctError, match="seed 0"):
        place("cifar10", "pair", seed=1, trial=0)
