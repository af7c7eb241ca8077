"""The study makes the same suggestions, even after kills."""

import pytest
from optuna.trial import TrialState

from fct.search.params import SearchParams
from fct.search.study import BASELINE, NO_LAYERS, _baseline_values, finished_trials, next_trial, open_study, suggest


@pytest.fixture
def params():
    def make(**changed):
        values = {"trials": 4, "images": 60, "epochs": 1, "max_raw_drop": 0.1, "min_gain": 0.0, "seed": 0}
        values |= {"weight": {"low": 0.1, "high": 2.0}, "distances": ["mse", "cosine"], "targets": ["raw"]}
        return SearchParams.model_validate(values | changed)

    return make


@pytest.fixture
def open_it(tmp_path, params):
    """Return a function that opens a study in a journal of the test."""

    def open_one(identity=None, *, fresh=False, **changed):
        journal = tmp_path / "deep/search.journal"
        return open_study(identity or {"data": "d"}, params(**changed), fresh=fresh, journal=journal)

    return open_one


def run_trial(study, baseline, params, value=0.5):
    """Run one trial with the result `value`; return its method."""
    trial = next_trial(study, baseline, params)
    method = suggest(trial, baseline, params)
    study.tell(trial, value) if method else study.tell(trial, state=TrialState.PRUNED)
    return method


def test_the_first_trial_is_the_baseline(open_it, params, toy):
    """Trial 0 has the method of params.yaml, even if its values are outside the search space."""
    baseline = toy.method(weight=7.0, distance="centred-mse")
    assert run_trial(open_it(), baseline, params()) == baseline


def test_suggestions_stay_in_the_space(open_it, params, toy):
    """Weight, layers, distance and target are in their ranges, and differ. All other values are the baseline's."""
    study, baseline = open_it(), toy.method(layers=["stage1", "stage2", "stage3"], probability=0.4)
    methods = [method for _ in range(12) if (method := run_trial(study, baseline, params()))]
    assert methods[0] == baseline
    for method in methods[1:]:
        assert 0.1 <= method.weight <= 2.0
        assert method.layers
        assert method.layers == [layer for layer in baseline.layers if layer in method.layers]
        assert method.distance in {"mse", "cosine", "centred-mse"}
        assert (method.name, method.probability, method.block.width) == ("fct-r", 0.4, 0.5)
    assert len({(m.weight, *m.layers, m.distance) for m in methods}) > 6


def test_a_resumed_study_makes_the_same_suggestions(open_it, params, toy, tmp_path):
    """A study that is reopened before each trial, after a kill, makes the suggestions of an uninterrupted one."""
    baseline, method = toy.method(), params()
    study = open_it()
    uninterrupted = [run_trial(study, baseline, method, value=k / 10) for k in range(7)]
    (tmp_path / "deep/search.journal").unlink()
    interrupted = []
    for k in range(7):
        killed = next_trial(open_it(), baseline, method)
        suggest(killed, baseline, method)  # killed before its result
        interrupted.append(run_trial(open_it(), baseline, method, value=k / 10))
    assert interrupted == uninterrupted


def test_a_trial_of_a_killed_process_fails(open_it, params, toy):
    """A RUNNING trial is marked as failed when the study is opened, and does not count."""
    study = open_it()
    run_trial(study, toy.method(), params())
    next_trial(study, toy.method(), params())
    reopened = open_it()
    assert [trial.state for trial in reopened.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert len(finished_trials(reopened)) == 1


def test_a_kill_before_the_start_of_the_baseline_does_no_harm(open_it, params, toy):
    """With a WAITING trial from a killed process, the baseline is still run once."""
    study, baseline = open_it(), toy.method()
    study.enqueue_trial(_baseline_values(baseline, params().weight), user_attrs={BASELINE: True})
    reopened = open_it()
    assert run_trial(reopened, baseline, params()) == baseline
    assert run_trial(reopened, baseline, params()) != baseline


def test_the_name_identifies_data_and_search_space(open_it):
    """Other data or another search space give another study. More trials continue the same study."""
    names = {open_it(data).study_name for data in ({"data": "d"}, {"data": "e"})}
    names |= {open_it(**changed).study_name for changed in ({"seed": 1}, {"min_gain": 0.5}, {"images": 61})}
    assert len(names) == 5
    assert open_it(trials=9).study_name == open_it().study_name


def test_fresh_deletes_only_this_study(open_it, params, toy):
    """--fresh starts without trials, and does not change studies of other data."""
    for data in ("d", "e"):
        run_trial(open_it({"data": data}), toy.method(), params())
    assert finished_trials(open_it({"data": "d"}, fresh=True)) == []
    assert len(finished_trials(open_it({"data": "e"}))) == 1


def test_a_trial_without_layers_does_not_count(open_it, params, toy):
    """A suggestion without layers is recorded, but not trained or counted."""
    study, baseline = open_it(), toy.method(layers=["stage1"])
    methods = [run_trial(study, baseline, params()) for _ in range(15)]
    assert methods[0] == baseline
    assert None in methods
    assert len(finished_trials(study)) == 15 - methods.count(None)
    assert sum(NO_LAYERS in trial.user_attrs for trial in study.trials) == methods.count(None)
