"""The study makes the same suggestions, even after kills."""

import pytest
from optuna.trial import TrialState

from fct.search.attributes import BASELINE, NOT_TRAINED
from fct.search.params import SearchParams
from fct.search.space import Space, baseline_values, suggest
from fct.search.study import finished_trials, make_pruner, next_trial, open_study

LAYERS = ["stem", "stage1", "stage2", "stage3", "head"]


@pytest.fixture
def params():
    def make(**changed):
        values = {"trials": 4, "images": 60, "epochs": 1, "max_raw_drop": 0.1, "min_gain": 0.0, "seed": 0}
        values |= {"weight": {"low": 0.1, "high": 2.0}, "distances": ["mse", "cosine"], "targets": ["raw"]}
        values |= {"layers": None, "block_layers": None, "pruner": "none"}
        return SearchParams.model_validate(values | changed)

    return make


@pytest.fixture
def open_it(tmp_path, params):
    """Return a function that opens a study in a journal of the test."""

    def open_one(identity=None, *, fresh=False, **changed):
        journal = tmp_path / "deep/search.journal"
        return open_study(identity or {"data": "d"}, params(**changed), fresh=fresh, journal=journal)

    return open_one


def space_of(params, layers=LAYERS, block_layers=LAYERS[:-1]):
    return Space(params.weight, layers, block_layers, ["centred-mse", "cosine", "mse"], ["raw", "raw-detached"])


def run_trial(study, baseline, params, space=None, value=0.5):
    """Run one trial with the result `value`; return its method."""
    space = space or space_of(params)
    trial = next_trial(study, baseline, params, space)
    method = suggest(trial, baseline, space)
    if method is None:
        trial.set_user_attr(NOT_TRAINED, True)
    study.tell(trial, value) if method else study.tell(trial, state=TrialState.PRUNED)
    return method


def test_the_first_trial_is_the_baseline(open_it, params, toy):
    """Trial 0 has the method of params.yaml, even if its values are outside the search space."""
    baseline = toy.method(weight=7.0, distance="centred-mse")
    assert run_trial(open_it(), baseline, params()) == baseline


def test_suggestions_stay_in_the_space(open_it, params, toy):
    """Weight, layers, blocks, distance and target are of the space, and differ. Other values are the baseline's."""
    study, baseline = open_it(), toy.method(layers=["stage3"], probability=0.4)
    methods = [method for _ in range(16) if (method := run_trial(study, baseline, params()))]
    assert methods[0] == baseline
    for method in methods[1:]:
        assert 0.1 <= method.weight <= 2.0
        assert method.layers == [layer for layer in LAYERS if layer in method.layers]
        assert method.block.layers == [layer for layer in LAYERS[:-1] if layer in method.block.layers]
        assert method.layers
        assert method.block.layers
        assert method.distance in {"mse", "cosine", "centred-mse"}
        assert (method.name, method.probability, method.block.width) == ("fct-r", 0.4, 0.5)
    assert len({(m.weight, *m.layers, *m.block.layers, m.distance) for m in methods}) > 6
    assert {layer for method in methods for layer in method.layers} > {"stage3"}  # more than the baseline has


def test_layers_without_candidates_stay_as_they_are(open_it, params, toy):
    """An empty list of candidates leaves the method's own, of features and of blocks."""
    study, baseline = open_it(), toy.method(layers=["stage2"])
    methods = [run_trial(study, baseline, params(), space_of(params(), [], [])) for _ in range(5)]
    assert {(*method.layers, *method.block.layers) for method in methods} == {("stage2", "stage1", "stage3")}


@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_resumed_study_makes_the_same_suggestions(open_it, params, toy, tmp_path, pruner):
    """A study that is reopened before each trial, after a kill, makes the suggestions of an uninterrupted one."""
    baseline, method = toy.method(), params(pruner=pruner)
    study = open_it(pruner=pruner)
    uninterrupted = [run_trial(study, baseline, method, value=k / 10) for k in range(7)]
    (tmp_path / "deep/search.journal").unlink()
    interrupted = []
    for k in range(7):
        killed = next_trial(open_it(pruner=pruner), baseline, method, space_of(method))
        suggest(killed, baseline, space_of(method))  # killed before its result
        interrupted.append(run_trial(open_it(pruner=pruner), baseline, method, value=k / 10))
    assert interrupted == uninterrupted


def test_a_trial_of_a_killed_process_is_the_next_one(open_it, params, toy):
    """It keeps its number, and does not count before it ends."""
    study, baseline = open_it(), toy.method()
    run_trial(study, baseline, params())
    killed = next_trial(study, baseline, params(), space_of(params()))
    reopened = open_it()
    assert len(finished_trials(reopened)) == 1
    assert next_trial(reopened, baseline, params(), space_of(params())).number == killed.number


def test_a_kill_before_the_start_of_the_baseline_does_no_harm(open_it, params, toy):
    """With a WAITING trial from a killed process, the baseline is still run once."""
    study, baseline = open_it(), toy.method()
    study.enqueue_trial(baseline_values(baseline, space_of(params())), user_attrs={BASELINE: True})
    reopened = open_it()
    assert run_trial(reopened, baseline, params()) == baseline
    assert run_trial(reopened, baseline, params()) != baseline


@pytest.mark.parametrize("name", ["hyperband", "successive-halving", "median"])
@pytest.mark.parametrize("epochs", [1, 2, 9])
def test_a_pruner_ends_a_trial_that_is_last(name, epochs, open_it):
    """With each number of epochs; the last of many trials with rising values goes on."""
    study = open_it()
    study.pruner = make_pruner(name, epochs)

    def is_pruned(value):  # of a trial with this value after its first epoch
        trial = study.ask()
        trial.report(value, 1)
        pruned = trial.should_prune()
        study.tell(trial, value)
        return pruned

    assert not any(is_pruned(value / 20) for value in range(10))
    assert any(is_pruned(0.0) for _ in range(10))  # Hyperband spares some at first


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
    """A suggestion without layers, or with blocks nowhere, is recorded, but not trained or counted."""
    study, baseline = open_it(), toy.method(layers=["stage1"])
    space = space_of(params(), ["stage1"], ["stage1", "stage3"])
    methods = [run_trial(study, baseline, params(), space) for _ in range(15)]
    assert methods[0] == baseline
    assert None in methods
    assert len(finished_trials(study)) == 15 - methods.count(None)
