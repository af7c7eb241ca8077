"""The search finds the best method on validation data, and resumes after a kill."""

import json
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from fct.core.errors import FctError
from fct.models import saved
from fct.search import run
from fct.search.attributes import NOT_TRAINED
from fct.search.params import SearchParams
from fct.search.run import search
from fct.train.assemble import make_network, open_data
from fct.train.loop import DivergenceError

PARAMS = {
    "trials": 4, "images": 60, "epochs": 2, "max_raw_drop": 0.05, "min_gain": 0.01, "seed": 0,
    "weight": {"low": 0.1, "high": 2.0}, "distances": ["mse", "cosine"], "targets": ["raw"], "pruner": "none",
    "layers": None, "block_layers": None,
}  # fmt: skip


class Recorder:
    """An observer that records each trial and its epochs."""

    id = "run"

    def __init__(self):
        self.trials = []

    @contextmanager
    def __call__(self, name, method):
        self.trials.append((name, method, []))
        yield self

    def metrics(self, values, step=None):
        self.trials[-1][2].append((step, values["val_compressed"]))


def run_search(toy, *, method=None, fresh=False, train=None, **changed):
    recorder = Recorder()
    params = SearchParams.model_validate(PARAMS | changed)
    best = search(toy.setup(**train or {}), method or toy.method(), params, recorder, fresh=fresh)
    return best, recorder.trials


def states(study):
    """Return the states of the trials that have layers."""
    return [trial.state.name for trial in study.trials if NOT_TRAINED not in trial.user_attrs]


def studies():
    storage = JournalStorage(JournalFileBackend(".fct/search.journal"))
    return [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]


@pytest.fixture
def script_results(monkeypatch):
    """Return a function that replaces trainings by given (compressed, raw) accuracies, one pair for each trial."""

    def set_results(*results):
        remaining = iter(results)

        def train(_network, _data, _method, params, *, on_epoch):
            compressed, raw = next(remaining)
            history = [{"val_compressed": compressed, "val_raw": raw}] * params.epochs
            for number, metrics in enumerate(history):
                on_epoch(number, metrics)
            return history

        monkeypatch.setattr(run, "train", train)

    return set_results


def test_trials_are_short_trainings_on_some_images(toy, monkeypatch):
    """Each trial trains `search.epochs` epochs on about `search.images` images of train and of val."""
    sizes, real = [], run.train

    def spy(network, data, method, params, **rest):
        sizes.append((len(data.train), {len(v) for v in data.source.cache.values()}, len(data.val), params.epochs))
        return real(network, data, method, params, **rest)

    monkeypatch.setattr(run, "train", spy)
    monkeypatch.setattr("fct.train.assemble.pick_device", lambda: torch.device("cpu"))
    best, trials = run_search(toy, trials=2, images=48)
    assert sizes == [(48, {48}, 48, 2)] * 2
    assert [name for name, _, _ in trials] == ["trial 0", "trial 1"]
    assert [step for step, _ in trials[0][2]] == [0, 1]
    assert trials[0][1] == toy.method().model_dump()
    assert best.compressed == trials[best.trial][2][-1][1]
    assert best.method.model_dump() == trials[best.trial][1]


def test_the_best_trial_that_keeps_raw_accuracy_wins(toy, script_results):
    """Trial 1 loses too much raw accuracy, so trial 2 is the result, with its method and accuracies."""
    script_results((0.80, 0.90), (0.95, 0.84), (0.90, 0.86), (0.85, 0.90))
    best, trials = run_search(toy)
    assert (best.trial, best.compressed, best.raw) == (2, 0.90, 0.86)
    assert best.method.model_dump() == trials[2][1]


def test_each_trial_is_a_line_with_its_scores(toy, script_results, capsys):
    """A trial that was trained to the end has two accuracies, one that ended early says why."""
    script_results((0.80, 0.90), (0.95, 0.84), (0.70, 0.86), (0.85, 0.90))
    run_search(toy, pruner="successive-halving", max_raw_drop=0.1)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trial ")]
    assert lines[1].startswith("trial 1: accuracy 0.9500 on compressed images, 0.8400 on raw images (weight ")
    assert lines[2].startswith(
        "trial 2: accuracy 0.7000 on compressed images, 0.8600 on raw images, ended after epoch 1 ("
    )
    assert "; blocks stage1 stage3)" in lines[0]
    assert len(lines) == 4


@pytest.mark.parametrize(
    "results", [[(0.95, 0.80)] * 3, [(0.805, 0.95)] * 3, [(0.7, 0.95)] * 3], ids=["clean", "gain", "worse"]
)
def test_the_baseline_is_the_result_if_no_trial_is_feasible(toy, script_results, results):
    """If all trials lose raw accuracy or gain too little, the method of params.yaml is the result."""
    script_results((0.80, 0.90), *results)
    best, _ = run_search(toy)
    assert (best.trial, best.method, best.compressed) == (0, toy.method(), 0.80)


def test_a_trial_that_is_behind_ends_early(toy, script_results):
    """The pruner ends it after its first epoch. It counts as a trial, and cannot win."""
    script_results((0.9, 0.9), (0.91, 0.9), (0.2, 0.9), (0.89, 0.9))
    best, trials = run_search(toy, pruner="successive-halving")
    assert [len(epochs) for _, _, epochs in trials] == [2, 2, 1, 1]
    assert best.trial in (0, 1)
    assert [one.end for one in best.tried] == ["trained", "trained", "pruned", "pruned"]


def test_without_a_pruner_every_trial_is_trained_to_its_end(toy, script_results):
    """`search.pruner: none`."""
    script_results((0.9, 0.9), (0.91, 0.9), (0.2, 0.9), (0.89, 0.9))
    _, trials = run_search(toy, pruner="none")
    assert [len(epochs) for _, _, epochs in trials] == [2, 2, 2, 2]


def test_a_trial_that_lost_raw_accuracy_does_not_end_those_that_can_win(toy, script_results):
    """Trial 1 cannot win. Trial 2 has less on compressed images, is trained to its end, and wins."""
    script_results((0.80, 0.90), (0.95, 0.60), (0.82, 0.90))
    best, trials = run_search(toy, trials=3, pruner="successive-halving")
    assert (best.trial, len(trials[2][2])) == (2, 2)


@pytest.mark.parametrize("pruner", ["hyperband", "successive-halving", "median"])
def test_the_baseline_is_never_ended_early(toy, monkeypatch, pruner):
    """Whatever the pruner says."""
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda _trial: True)
    best, trials = run_search(toy, trials=2, pruner=pruner)
    assert [len(epochs) for _, _, epochs in trials] == [2, 1]
    assert best.trial == 0


def test_one_trial_is_no_search(toy):
    """`search.trials: 1` returns the method of params.yaml without a training."""
    best, trials = run_search(toy, trials=1)
    assert (best.method, best.trial, best.compressed, trials) == (toy.method(), 0, None, [])


def test_methods_without_consistency_pass_through(toy):
    """For `pair` the method of params.yaml is returned, without trials or a journal."""
    best, trials = run_search(toy, method=toy.method(name="pair"))
    assert (best.method, best.trial, best.compressed) == (toy.method(name="pair"), 0, None)
    assert trials == []
    assert not Path(".fct").exists()


def test_pruned_trials_are_kept(toy, script_results):
    """A second run with more trials does not train them again."""
    script_results((0.9, 0.9), (0.91, 0.9), (0.2, 0.9), (0.3, 0.9))
    run_search(toy, trials=3, pruner="successive-halving")
    best, trials = run_search(toy, trials=4, pruner="successive-halving")
    assert [name for name, _, _ in trials] == ["trial 3"]
    assert [one.end for one in best.tried] == ["trained", "trained", "pruned", "pruned"]


def test_a_finished_search_trains_nothing(toy, script_results):
    """A second run returns the result without a training. More trials run only the missing ones; fresh runs all."""
    results = [(0.80, 0.90), (0.85, 0.90), (0.82, 0.90)]
    script_results(*results)
    first, _ = run_search(toy, trials=3)
    again, trials = run_search(toy, trials=3)
    assert (again, trials) == (first, [])
    script_results((0.99, 0.90))
    more, trials = run_search(toy, trials=4)
    assert ([name for name, _, _ in trials], more.trial) == (["trial 3"], 3)
    script_results(*results)
    fresh, trials = run_search(toy, trials=3, fresh=True)
    assert (fresh, len(trials)) == (first, 3)


def test_one_worker_on_postgresql_makes_the_same_search(toy, script_results, postgres, monkeypatch):
    """Trials, their names, values and ends, and the result are those of the journal."""
    results = [(0.80, 0.90), (0.85, 0.90), (0.70, 0.90), (0.95, 0.70), (0.86, 0.90), (0.84, 0.9)]
    script_results(*results)
    expected = run_search(toy, trials=6, pruner="successive-halving")
    monkeypatch.setenv("FCT_DATABASE_URL", postgres.make_database("same_search"))
    script_results(*results)
    assert run_search(toy, trials=6, pruner="successive-halving") == expected
    assert run_search(toy, trials=6, pruner="successive-halving") == (expected[0], [])


def test_other_data_start_a_new_search(toy, script_results):
    """Trials of other data or other training params are not reused."""
    script_results(*[(0.8, 0.9)] * 9)
    run_search(toy, trials=2)
    meta = toy.root / "data/splits/meta.json"
    content = json.loads(meta.read_text())
    _, trials = run_search(toy, trials=2, train={"learning_rate": 0.2})
    assert len(trials) == 2
    meta.write_text(json.dumps(content | {"digest": "f00d"}))
    for manifest in (toy.root / "data/cache").glob("*/manifest.json"):
        manifest.write_text(manifest.read_text().replace(toy.digest, "f00d"))
    _, trials = run_search(toy, trials=2)
    assert len(trials) == 2
    assert len(studies()) == 3


@pytest.fixture
def teacher(toy):
    """Return a function that saves an untrained network of the toy data as weights/teacher.pt."""

    def save(model="resnet8", **changed):
        setup, method = toy.setup(model=model, **changed), toy.method(name="standard")
        data, meta = open_data(setup)
        saved.save(*make_network(setup, method, data.train, meta), Path("weights/teacher.pt"))
        return "weights/teacher.pt"

    return save


def test_trials_of_another_teacher_are_not_reused(toy, script_results, teacher):
    """This holds even if only one of the searched targets needs the teacher."""
    script_results(*[(0.8, 0.9)] * 4)
    method, targets = toy.method(teacher=teacher()), ["teacher"]
    run_search(toy, method=method, trials=2, targets=targets)
    teacher(seed=1)
    _, trials = run_search(toy, method=method, trials=2, targets=targets)
    assert len(trials) == 2


def test_a_teacher_that_does_not_fit_is_an_error(toy, teacher):
    """It stops the search, in whichever trial it is found, with an error that names the key."""
    method = toy.method(teacher=teacher("speednet"))
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt is speednet"):
        run_search(toy, method=method, trials=8, targets=["teacher"])


def test_a_diverging_baseline_is_an_error_and_a_diverging_trial_is_not(toy, monkeypatch, capsys):
    """The method of params.yaml must train. A trial of the sampler may diverge, and counts as pruned."""
    calls, real = [], run.train

    def train(*arguments, **rest):
        calls.append(arguments)
        if len(calls) in (1, 3):
            raise DivergenceError("Training diverged")
        return real(*arguments, **rest)

    monkeypatch.setattr(run, "train", train)
    with pytest.raises(FctError, match="diverged"):
        run_search(toy, trials=2)
    best, trials = run_search(toy, trials=2)
    assert len(trials) == 2
    assert best.trial == 0
    (study,) = studies()
    assert states(study) == ["COMPLETE", "PRUNED"]
    assert "trial 1: diverged (weight " in capsys.readouterr().out


KILLED_SCRIPT = """
import json, os, signal
from contextlib import contextmanager
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
from fct.search.params import SearchParams
from fct.search.run import search
from fct.train.assemble import Setup
from fct.train.params import TrainParams

config = json.loads('''{config}''')
model, schedule = ModelParams.model_validate(config["model"]), TrainParams.model_validate(config["train"])
setup = Setup((20, 60), "4:2:0", model, schedule)

class KillInTrial1:
    def metrics(self, values, step=None):
        if self.name == "trial 1":
            os.kill(os.getpid(), signal.SIGKILL)

@contextmanager
def make_observer(name, method):
    observer = KillInTrial1()
    observer.name = name
    yield observer

method = MethodParams.model_validate(config["method"])
search(setup, method, SearchParams.model_validate(config["search"]), make_observer, fresh=False)
"""


@pytest.mark.parametrize("pruner", ["none", "hyperband", "successive-halving"])
def test_a_killed_search_runs_only_the_missing_trials(toy, killed, pruner):
    """After a kill in trial 1, the next run makes trials 1 and 2, with the same methods, ends and result."""
    uninterrupted, trials = run_search(toy, trials=3, pruner=pruner)
    Path(".fct/search.journal").unlink()
    setup = toy.setup()
    config = {"model": setup.model.model_dump(), "train": setup.train.model_dump(), "method": toy.method().model_dump()}
    killed(KILLED_SCRIPT.format(config=json.dumps(config | {"search": PARAMS | {"trials": 3, "pruner": pruner}})))
    (study,) = studies()
    assert states(study) == ["COMPLETE", "RUNNING"]
    best, missing = run_search(toy, trials=3, pruner=pruner)
    assert missing == trials[1:]
    assert best == uninterrupted


def test_targets_without_the_teacher_that_raw_features_need_are_an_error(toy):
    """With `matched_views: both` all searched targets must be teachers. The error names the search's key."""
    with pytest.raises(FctError, match=r"search\.targets: with raw, method\.matched_views: both needs a teacher"):
        run_search(toy, targets=["ema-teacher", "raw"], method=toy.method(target="ema-teacher", matched_views="both"))


def test_targets_that_own_crops_exclude_are_an_error(toy):
    """A searched target that does not fit `train.crops: own` is an error that names the search's key."""
    with pytest.raises(FctError, match=r"search\.targets: raw compares features"):
        run_search(toy, method=toy.method(target="ema-teacher"), train={"crops": "own"}, targets=["raw"])
