"""One run of the comparison."""

import pytest

from benchmarks.comparison import run
from benchmarks.comparison.run import place
from benchmarks.comparison.settings import Plan
from fct.core.errors import FctError


def test_a_training_that_was_killed_after_its_last_epoch_is_finished(toy, monkeypatch):
    """Its network is written, and beside it what it cost but for the time, which nobody knows."""

    def killed(*_args):
        raise KeyboardInterrupt

    planned = Plan(toy.setup(), toy.method())
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run, "fit_estimator", killed)
        run._trained(planned)
    finished = run._trained(planned)
    assert finished.path.exists()
    assert finished.cost["seconds"] is None
    assert finished.cost["steps"] > 0


def test_a_trial_has_no_other_seed_than_the_first():
    """All methods' trials are of one seed, and their files are named by the trial alone: another seed is refused."""
    with pytest.raises(FctError, match="seed 0"):
        place("cifar10", "pair", seed=1, trial=2)
