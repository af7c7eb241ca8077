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


@pytest.mark.parametrize(("seed", "short"), [(1, False), (0, True)])
def test_a_trial_has_the_first_seed_and_the_whole_schedule(seed, short):
    """Trials are compared with the run of seed 0, and their files are named by the trial alone: others are refused."""
    with pytest.raises(FctError, match="trials have seed 0 and the whole schedule"):
        place("cifar10", "pair", seed=seed, trial=2, short=short)


def test_short_runs_and_trials_do_not_take_a_runs_place():
    """Each kind has a folder of its own."""
    places = {place("cifar10", "pair", 0, trial, short=short) for trial, short in [(0, False), (1, False), (0, True)]}
    assert {path.parent.name for path in places} == {"cifar10", "trials", "short"}
