"""The study suggests what it would have suggested, whatever was killed in between."""

import pytest
from optuna.trial import TrialState

from fct.search.params import SearchParams
from fct.search.study import BASELINE, NO_LAYERS, _values, finished_trials, next_trial, open_study, suggest


@pytest.fixture
def params():
    def make(**changed):
        told = {"trials": 4, "images": 60, "epochs": 1, "max_raw_drop": 0.1, "min_gain": 0.0, "seed": 0}
        told |= {"weight": {"low": 0.1, "high": 2.0}, "distances": ["mse", "cosine"], "targets": ["raw"]}
        return SearchParams.model_validate(told | changed)

    return make


@pytest.fixture
def open_it(tmp_path, params):
    """Open a study in a journal of the test's own."""

    def open_one(identity=None, *, fresh=False, **changed):
        journal = tmp_path / "deep/search.journal"
        return open_study(identity or {"data": "d"}, params(**changed), fresh=fresh, journal=journal)

    return open_one


def take(study, baseline, params, value=0.5):
    """Ask, suggest and finish one trial; return what it tried."""
    trial = next_trial(study, baseline, params)
    method = suggest(trial, baseline, params)
    study.tell(trial, value) if method else study.tell(trial, state=TrialState.PRUNED)
    return method


def test_the_first_trial_is_the_baseline(open_it, params, toy):
    """Trial 0 tries the method of params.yaml as it stands, also where its values lie outside the search space."""
    baseline = toy.method(weight=7.0, distance="centred-mse")
    assert take(open_it(), baseline, params()) == baseline


def test_suggestions_stay_in_the_space(open_it, params, toy):
    """Weight, layers, distance and gradient come from their ranges; all else is the baseline's; not all are equal."""
    study, baseline = open_it(), toy.method(layers=["stage1", "stage2", "stage3"], probability=0.4)
    tried = [method for _ in range(12) if (method := take(study, baseline, params()))]
    assert tried[0] == baseline
    for method in tried[1:]:
        assert 0.1 <= method.weight <= 2.0
        assert method.layers
        assert method.layers == [layer for layer in baseline.layers if layer in method.layers]
        assert method.distance in {"mse", "cosine", "centred-mse"}
        assert (method.name, method.probability, method.block.width) == ("fct-r", 0.4, 0.5)
    assert len({(m.weight, *m.layers, m.distance) for m in tried}) > 6


def test_a_study_taken_up_again_suggests_the_same(open_it, params, toy, tmp_path):
    """Closed and opened between any two trials, even with one killed at each, it tries what it would have tried."""
    baseline, method = toy.method(), params()
    study = open_it()
    undisturbed = [take(study, baseline, method, value=k / 10) for k in range(7)]
    (tmp_path / "deep/search.journal").unlink()
    disturbed = []
    for k in range(7):
        killed = next_trial(open_it(), baseline, method)
        suggest(killed, baseline, method)  # and nothing is told
        disturbed.append(take(open_it(), baseline, method, value=k / 10))
    assert disturbed == undisturbed


def test_what_a_killed_process_left_is_failed(open_it, params, toy):
    """A trial left RUNNING is marked FAIL when the study is opened, and does not count."""
    study = open_it()
    take(study, toy.method(), params())
    next_trial(study, toy.method(), params())
    again = open_it()
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert len(finished_trials(again)) == 1


def test_a_kill_between_the_baseline_s_queueing_and_its_start_is_survived(open_it, params, toy):
    """A trial left WAITING is no obstacle: the baseline is still tried, once."""
    study, baseline = open_it(), toy.method()
    study.enqueue_trial(_values(baseline, params().weight), user_attrs={BASELINE: True})
    again = open_it()
    assert take(again, baseline, params()) == baseline
    assert take(again, baseline, params()) != baseline


def test_the_name_digests_what_decides_a_trial(open_it):
    """Other data, or another search space, is another study; more trials go on with the same."""
    names = {open_it(data).study_name for data in ({"data": "d"}, {"data": "e"})}
    names |= {open_it(**changed).study_name for changed in ({"seed": 1}, {"min_gain": 0.5}, {"images": 61})}
    assert len(names) == 5
    assert open_it(trials=9).study_name == open_it().study_name


def test_fresh_forgets_this_study_alone(open_it, params, toy):
    """--fresh starts with no trials; studies of other data keep theirs."""
    for data in ("d", "e"):
        take(open_it({"data": data}), toy.method(), params())
    assert finished_trials(open_it({"data": "d"}, fresh=True)) == []
    assert len(finished_trials(open_it({"data": "e"}))) == 1


def test_a_trial_without_layers_does_not_count(open_it, params, toy):
    """A suggestion that turns every layer off is noted, not trained and not counted."""
    study, baseline = open_it(), toy.method(layers=["stage1"])
    tried = [take(study, baseline, params()) for _ in range(15)]
    assert tried[0] == baseline
    assert None in tried
    assert len(finished_trials(study)) == 15 - tried.count(None)
    assert sum(NO_LAYERS in trial.user_attrs for trial in study.trials) == tried.count(None)
