"""Runs of the comparison, one and many."""

import shutil
import subprocess

import numpy as np
import pytest

from benchmarks.comparison import results, run
from benchmarks.comparison.settings import Plan, RunGroup, RunId, read, resolve
from fct.core.errors import FctError
from fct.core.locks import locked
from fct.train.assemble import make_network, open_data

GROUPS = {
    "methods": RunGroup(dataset="cifar10", names=["pair", "fct"], seeds=[0, 1]),
    "narrow": RunGroup(dataset="cifar10-narrow", names=["pair"]),
}
SETTINGS = read().model_copy(update={"runs": GROUPS})
ALL = [("cifar10", "pair", 0), ("cifar10", "pair", 1), ("cifar10", "fct", 0), ("cifar10", "fct", 1)]
ALL.append(("cifar10-narrow", "pair", 0))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Train nothing, but save a record for each run; list them in the order in which they were made."""
    order = []

    def save(settings, which, *, repeat):
        order.append(which[:3])
        row = which._asdict() | {"repeat": repeat, "settings": resolve(settings, which)}
        results.results_of(which.dataset).save(row | {"test": {"raw": 1.0}, "unseen": {}}, np.ones((1, 8), bool))

    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "_run", save)
    return order


def test_all_that_is_missing_is_made_once(made):
    """In the order of the file; a second time there is nothing to do."""
    assert run.run_missing(SETTINGS) == 5
    assert made == ALL
    assert run.run_missing(SETTINGS) == 0


def test_a_run_that_is_there_is_not_made_again(made):
    """What was made before a kill, or on another machine, stays."""
    run.run(SETTINGS, RunId("cifar10", "fct", 0))
    made.clear()
    run.run_missing(SETTINGS)
    assert made == [each for each in ALL if each != ("cifar10", "fct", 0)]


def test_what_is_missing_can_be_made_of_one_method(made):
    """Data set and name narrow it down."""
    run.run_missing(SETTINGS, "cifar10", "fct")
    assert made == ALL[2:4]


def test_nothing_to_ask_for_is_an_error():
    """A misspelt name would else look like work that is done."""
    with pytest.raises(FctError, match=r"No run of benchmarks/params\.yaml is of cifar10 fcd"):
        run.run_missing(SETTINGS, "cifar10", "fcd")


def test_a_stale_run_is_made_again(made):
    """Its settings have changed since; those of the others have not."""
    run.run_missing(SETTINGS)
    made.clear()
    methods = SETTINGS.methods | {"fct": SETTINGS.methods["fct"].model_copy(update={"train": {"epochs": 13}})}
    run.run_missing(SETTINGS.model_copy(update={"methods": methods}))
    assert made == ALL[2:4]


def test_a_run_that_another_process_makes_is_left_to_it(made, tmp_path):
    """Two processes share the work; neither waits for the other's run."""
    with locked(tmp_path / "locks/cifar10-pair-1-0.lock"):
        run.run_missing(SETTINGS)
    assert made == [each for each in ALL if each != ("cifar10", "pair", 1)]


def test_a_run_that_fails_does_not_keep_others_from_being_made(made, monkeypatch):
    """The error comes at the end, and names it."""

    def diverge(settings, which, *, repeat):
        if which[:3] == ALL[1]:
            raise FctError("the loss is not finite")
        save(settings, which, repeat=repeat)

    save = run._run
    monkeypatch.setattr(run, "_run", diverge)
    with pytest.raises(FctError, match=r"1 of 5 runs failed, .* cifar10 pair, seed 1: the loss is not finite"):
        run.run_missing(SETTINGS)
    assert made == [each for each in ALL if each != ALL[1]]


def test_a_training_that_was_killed_after_its_last_epoch_is_finished(toy, monkeypatch):
    """Its network is written, and beside it what it cost but for the time, which nobody knows."""

    def killed(*_args):
        raise KeyboardInterrupt

    planned = Plan(toy.setup(epochs=1), toy.method())
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run, "fit_estimator", killed)
        patched.setattr(run, "_commit", lambda: "begun")
        run._trained(planned)
    finished = run._trained(planned)
    assert finished.cost["commit"] == "begun"  # not that of the process that ended it
    assert finished.path.exists()
    assert finished.cost["seconds"] is None
    assert finished.cost["steps"] > 0


def test_a_network_starts_from_that_of_standard_with_its_seed(toy, monkeypatch):
    """It begins as with the stage `baseline`'s, and standard's own training comes first where it is not here."""
    seeds = []

    def plan_standard(_settings, name, seed):
        seeds.append((name, seed))
        return Plan(toy.setup(epochs=1, seed=seed), toy.method(name="standard"))

    monkeypatch.setattr(run, "plan", plan_standard)
    planned = Plan(toy.setup(start="baseline", seed=1), toy.method(name="pair"))
    setup, method = run.with_networks(SETTINGS, planned, 1)
    assert seeds == [("standard", 1)]
    data, meta = open_data(setup)
    (toy.root / "model").mkdir()
    shutil.copy(setup.model.weights, toy.root / "model/standard.pt")
    begun, expected = (make_network(each, method, data.train, meta)[0].state_dict() for each in (setup, planned.setup))
    assert begun.keys() == expected.keys()
    assert all(begun[name].equal(expected[name]) for name in begun)


def test_a_trial_has_no_other_seed_than_the_first():
    """All methods' trials are of one seed: another is refused."""
    with pytest.raises(FctError, match="seed 0"):
        run.run(SETTINGS, RunId("cifar10", "pair", 1, 2))


def test_only_a_change_of_the_code_marks_the_commit(tmp_path, monkeypatch):
    """Runs keep their records as they come, so results always differ from the commit in the middle of a queue."""

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    code, records = tmp_path / "benchmarks/comparison/run.py", tmp_path / "benchmarks/results/records.jsonl"
    for file in (code, records):
        file.parent.mkdir(parents=True)
        file.write_text("as committed")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    monkeypatch.setattr(run, "__file__", str(code))
    records.write_text("one more")
    assert run._commit() == git("rev-parse", "--short", "HEAD")
    code.write_text("changed")
    assert run._commit() == f"{git('rev-parse', '--short', 'HEAD')}-dirty"
    git("tag", "-a", "v1.0.0", "-m", "released")
    assert run._commit() == f"{git('rev-parse', '--short', 'HEAD')}-dirty"
