"""The search finds what validation says is best, and goes on where it was stopped."""

import json
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from fct.core.errors import FctError
from fct.models import saved as candidate
from fct.search import run
from fct.search.params import SearchParams
from fct.search.run import search
from fct.search.study import NO_LAYERS
from fct.train.assemble import make_network, open_data
from fct.train.loop import DivergenceError

TOLD = {
    "trials": 4, "images": 60, "epochs": 2, "max_raw_drop": 0.05, "min_gain": 0.01, "seed": 0,
    "weight": {"low": 0.1, "high": 2.0}, "distances": ["mse", "cosine"], "targets": ["raw"],
}  # fmt: skip


class Observed:
    """Notes each trial and the epochs of it."""

    def __init__(self):
        self.trials = []

    @contextmanager
    def __call__(self, name, tried):
        self.trials.append((name, tried, []))
        yield self

    def metrics(self, values, step=None):
        self.trials[-1][2].append((step, values["val_compressed"]))


def look(toy, *, method=None, fresh=False, train=None, **changed):
    observed = Observed()
    params = SearchParams.model_validate(TOLD | changed)
    best = search(toy.setup(**train or {}), method or toy.method(), params, observed, fresh=fresh)
    return best, observed.trials


def states(study):
    """How the trials ended that chose a layer."""
    return [trial.state.name for trial in study.trials if NO_LAYERS not in trial.user_attrs]


def studies():
    storage = JournalStorage(JournalFileBackend(".fct/search.journal"))
    return [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]


@pytest.fixture
def scripted(monkeypatch):
    """Let trials come to given (compressed, raw) accuracies, one an epoch's end, instead of training."""

    def script(*results):
        left = iter(results)

        def train(_network, _data, _method, params, *, on_epoch):
            compressed, raw = next(left)
            history = [{"val_compressed": compressed, "val_raw": raw}] * params.epochs
            for number, metrics in enumerate(history):
                on_epoch(number, metrics)
            return history

        monkeypatch.setattr(run, "train", train)

    return script


def test_trials_are_short_trainings_on_some_images(toy, monkeypatch):
    """Each trial trains `search.epochs` epochs on about `search.images` images, of train and at most all of val."""
    sizes, real = [], run.train

    def spy(network, data, method, params, **rest):
        sizes.append((len(data.train), {len(v) for v in data.source.cache.values()}, len(data.val), params.epochs))
        return real(network, data, method, params, **rest)

    monkeypatch.setattr(run, "train", spy)
    monkeypatch.setattr("fct.train.assemble.pick_device", lambda: torch.device("cpu"))
    best, trials = look(toy, trials=2, images=48)
    assert sizes == [(48, {48}, 48, 2)] * 2
    assert [name for name, _, _ in trials] == ["trial 0", "trial 1"]
    assert [step for step, _ in trials[0][2]] == [0, 1]
    assert trials[0][1] == toy.method().model_dump()
    assert best.compressed == trials[best.trial][2][-1][1]
    assert best.method.model_dump() == trials[best.trial][1]


def test_the_best_that_keeps_clean_accuracy_wins(toy, scripted):
    """Trial 1 is best but costs too much clean accuracy; trial 2 is the answer, with what it tried and reached."""
    scripted((0.80, 0.90), (0.95, 0.84), (0.90, 0.86), (0.85, 0.90))
    best, trials = look(toy)
    assert (best.trial, best.compressed, best.raw) == (2, 0.90, 0.86)
    assert best.method.model_dump() == trials[2][1]


@pytest.mark.parametrize(
    "others", [[(0.95, 0.80)] * 3, [(0.805, 0.95)] * 3, [(0.7, 0.95)] * 3], ids=["clean", "gain", "worse"]
)
def test_the_baseline_is_the_answer_where_nothing_is_feasible(toy, scripted, others):
    """All others lose clean accuracy, or gain too little, or nothing: params.yaml's own method stays."""
    scripted((0.80, 0.90), *others)
    best, _ = look(toy)
    assert (best.trial, best.method, best.compressed) == (0, toy.method(), 0.80)


def test_a_trial_that_is_behind_the_baseline_ends_early(toy, scripted):
    """It ends at its first epoch, counts, and never wins."""
    scripted((0.9, 0.9), (0.91, 0.9), (0.2, 0.9), (0.89, 0.9))
    best, trials = look(toy)
    assert [len(epochs) for _, _, epochs in trials] == [2, 2, 1, 1]
    assert best.trial in (0, 1)


def test_a_trial_that_costs_too_much_clean_accuracy_sets_no_pace(toy, scripted):
    """Trial 1 cannot win; trial 2, behind it and ahead of the baseline, is trained to its end and does."""
    scripted((0.80, 0.90), (0.95, 0.80), (0.82, 0.90))
    best, trials = look(toy, trials=3)
    assert (best.trial, len(trials[2][2])) == (2, 2)


def test_one_trial_is_no_search(toy):
    """`search.trials: 1` takes the method as it stands, and trains nothing."""
    best, trials = look(toy, trials=1)
    assert (best.method, best.trial, best.compressed, trials) == (toy.method(), 0, None, [])


def test_methods_without_consistency_pass_through(toy):
    """There is nothing to search for `pair`: no trial, no journal, the method as it stands."""
    best, trials = look(toy, method=toy.method(name="pair"))
    assert (best.method, best.trial, best.compressed) == (toy.method(name="pair"), 0, None)
    assert trials == []
    assert not Path(".fct").exists()


def test_a_finished_search_trains_nothing(toy, scripted):
    """Run again, the answer is there at once; more trials do only what is missing; fresh does all again."""
    results = [(0.80, 0.90), (0.85, 0.90), (0.82, 0.90)]
    scripted(*results)
    first, _ = look(toy, trials=3)
    again, trials = look(toy, trials=3)
    assert (again, trials) == (first, [])
    scripted((0.99, 0.90))
    more, trials = look(toy, trials=4)
    assert ([name for name, _, _ in trials], more.trial) == (["trial 3"], 3)
    scripted(*results)
    fresh, trials = look(toy, trials=3, fresh=True)
    assert (fresh, len(trials)) == (first, 3)


def test_other_data_are_searched_anew(toy, scripted):
    """Trials made on other data, or under other training params, are not reused."""
    scripted(*[(0.8, 0.9)] * 9)
    look(toy, trials=2)
    meta = toy.root / "data/splits/meta.json"
    told = json.loads(meta.read_text())
    _, trials = look(toy, trials=2, train={"learning_rate": 0.2})
    assert len(trials) == 2
    meta.write_text(json.dumps(told | {"digest": "f00d"}))
    for manifest in (toy.root / "data/cache").glob("*/manifest.json"):
        manifest.write_text(manifest.read_text().replace(toy.digest, "f00d"))
    _, trials = look(toy, trials=2)
    assert len(trials) == 2
    assert len(studies()) == 3


@pytest.fixture
def teacher(toy):
    """Save an untrained network of the toy data as weights/teacher.pt."""

    def save(model="resnet8", **changed):
        setup, method = toy.setup(model=model, **changed), toy.method(name="standard")
        data, meta = open_data(setup)
        candidate.save(*make_network(setup, method, data.train, meta), Path("weights/teacher.pt"))
        return "weights/teacher.pt"

    return save


def test_trials_of_another_teacher_are_not_reused(toy, scripted, teacher):
    """Also where not the baseline but a gradient that is searched has it."""
    scripted(*[(0.8, 0.9)] * 4)
    method, targets = toy.method(teacher=teacher()), ["teacher"]
    look(toy, method=method, trials=2, targets=targets)
    teacher(seed=1)
    _, trials = look(toy, method=method, trials=2, targets=targets)
    assert len(trials) == 2


def test_a_teacher_that_does_not_fit_stops_the_search(toy, teacher):
    """It is no trial that went badly: the error names the key, whichever trial finds it."""
    method = toy.method(teacher=teacher("speednet"))
    with pytest.raises(FctError, match=r"method\.teacher: weights/teacher\.pt is speednet"):
        look(toy, method=method, trials=8, targets=["teacher"])


def test_a_diverging_baseline_is_an_error_and_a_diverging_trial_is_not(toy, monkeypatch):
    """What params.yaml itself asks for must train; what the sampler tries may fail, and counts as pruned."""
    calls, real = [], run.train

    def train(*arguments, **rest):
        calls.append(arguments)
        if len(calls) in (1, 3):
            raise DivergenceError("Training diverged")
        return real(*arguments, **rest)

    monkeypatch.setattr(run, "train", train)
    with pytest.raises(FctError, match="diverged"):
        look(toy, trials=2)
    best, trials = look(toy, trials=2)
    assert len(trials) == 2
    assert best.trial == 0
    (study,) = studies()
    assert states(study) == ["FAIL", "COMPLETE", "PRUNED"]


KILLED = """
import json, os, signal
from contextlib import contextmanager
from fct.methods.params import MethodParams
from fct.models.params import ModelParams
from fct.search.params import SearchParams
from fct.search.run import search
from fct.search.study import NO_LAYERS
from fct.train.assemble import Setup
from fct.train.params import TrainParams

told = json.loads('''{told}''')
setup = Setup((20, 60), "4:2:0", ModelParams.model_validate(told["model"]), TrainParams.model_validate(told["train"]))

class Deadly:
    def metrics(self, values, step=None):
        if self.name == "trial 1":
            os.kill(os.getpid(), signal.SIGKILL)

@contextmanager
def observed(name, tried):
    observer = Deadly()
    observer.name = name
    yield observer

method = MethodParams.model_validate(told["method"])
search(setup, method, SearchParams.model_validate(told["search"]), observed, fresh=False)
"""


def test_a_killed_search_does_only_what_is_missing(toy, killed):
    """SIGKILL in trial 1 and the same command again: trials 1 and 2 only, the same tries, the same answer."""
    undisturbed, trials = look(toy, trials=3)
    Path(".fct/search.journal").unlink()
    setup = toy.setup()
    told = {"model": setup.model.model_dump(), "train": setup.train.model_dump(), "method": toy.method().model_dump()}
    killed(KILLED.format(told=json.dumps(told | {"search": TOLD | {"trials": 3}})))
    (study,) = studies()
    assert states(study) == ["COMPLETE", "RUNNING"]
    best, missing = look(toy, trials=3)
    assert missing == trials[1:]
    assert best == undisturbed
    (study,) = studies()
    assert states(study)[:2] == ["COMPLETE", "FAIL"]


def test_gradients_without_the_teacher_that_raw_features_are_pulled_to_are_refused(toy):
    """With `matched_views: both` the search tries teachers alone; the error names the search's key."""
    with pytest.raises(FctError, match=r"search\.targets: with raw, method\.matched_views: both needs a teacher"):
        look(toy, targets=["ema-teacher", "raw"], method=toy.method(target="ema-teacher", matched_views="both"))


def test_gradients_that_own_crops_forbid_are_refused(toy):
    """The search tries no gradient that `train.crops` rules out; the error names the search's key."""
    with pytest.raises(FctError, match=r"search\.targets: raw pulls features"):
        look(toy, method=toy.method(target="ema-teacher"), train={"crops": "own"}, targets=["raw"])
