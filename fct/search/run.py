"""Choose the consistency term by short trainings on validation data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from fct.methods.params import MethodParams
from fct.search.importance import importance_of
from fct.search.params import SearchParams
from fct.search.space import BASELINE, Space, is_searched, make_space, searched_methods, suggest
from fct.search.study import NOT_TRAINED, finished_trials, next_trial, open_study
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import code_digest
from fct.train.loop import Data, DivergenceError, Metrics, train

METHOD = "method"  # attribute of a trained trial: its method
CURVE = "curve"  # attribute of a trained trial: its compressed and raw validation accuracy after each epoch
DIVERGED = "diverged"  # attribute of a pruned trial: whether its loss became infinite or not a number

Curve = list[tuple[float, float]]  # (compressed, raw) validation accuracy after each epoch


class Observer(Protocol):
    """An object that records a trial's metrics."""

    def metrics(self, values: Metrics, step: int | None = None) -> None:
        """Record the metrics of one epoch."""


MakeObserver = Callable[[str, dict[str, Any]], AbstractContextManager[Observer]]  # (name, method) -> observer


class Tried(NamedTuple):
    """The outcome of one trial."""

    method: MethodParams
    curve: Curve
    end: Literal["trained", "pruned", "diverged"]

    def describe(self) -> str:
        """Return the scores and the method as one line."""
        method = self.method
        what = f"weight {method.weight:.3g}, {method.distance}, {method.target}, {' '.join(method.layers)}"
        if method.name == "fct-r":
            what += f"; blocks {' '.join(method.block.layers)}"
        if self.end == "diverged":
            return f"diverged ({what})"
        compressed, raw = self.curve[-1]
        when = "" if self.end == "trained" else f", ended after epoch {len(self.curve)}"
        return f"accuracy {compressed:.4f} on compressed images, {raw:.4f} on raw images{when} ({what})"


class Result(NamedTuple):
    """The result of the search."""

    method: MethodParams
    trial: int  # 0 is the baseline
    compressed: float | None  # mean validation accuracy over the trained qualities, after a trial's epochs
    raw: float | None
    tried: tuple[Tried, ...] = ()  # every trial, in order; none if there is no search
    importance: tuple[tuple[str, float], ...] = ()  # of each searched value, descending; empty with too few trials
    space: Space | None = None


def search(
    setup: Setup, baseline: MethodParams, params: SearchParams, make_observer: MakeObserver, *, fresh: bool
) -> Result:
    """Return the best method of `params.trials` short trainings. The first trial is `baseline`.

    The best trial has the highest mean validation accuracy over the trained qualities. It must beat the baseline by
    `params.min_gain`, since short trainings are noisy, and its raw accuracy must be at most `params.max_raw_drop` below
    the baseline's. If there is no such trial, the baseline is the best. `params.pruner` ends trials early, but never
    the baseline. Trials in the study are not run again.

    Raises:
        FctError: the baseline diverges, or the search space does not fit the other values of params.yaml.
    """
    if not is_searched(baseline, params):
        return Result(baseline, 0, None, None)
    data, meta = open_data(setup)
    space = make_space(setup.model, setup.train, baseline, params, meta)
    methods = searched_methods(setup.train, baseline, params)
    with_teacher = next((method for method in methods if method.needs_teacher_file), baseline)
    data = subsample(data, params.images)
    setup = setup._replace(train=setup.train.model_copy(update={"epochs": params.epochs}))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study_identity = identity(setup, baseline, meta) | {"teacher": identity(setup, with_teacher, meta)["teacher"]}
    versions = {"code": code_digest("search"), "torch": torch.__version__}
    study = open_study(study_identity | versions, params, fresh=fresh)
    with tqdm(
        total=params.trials, initial=len(finished_trials(study)), desc="search", unit="trial", disable=None
    ) as bar:
        while (count := len(finished_trials(study))) < params.trials:
            trial = next_trial(study, baseline, params, space)
            method = suggest(trial, baseline, space)
            if method is None:
                trial.set_user_attr(NOT_TRAINED, value=True)
                study.tell(trial, state=TrialState.PRUNED)
                continue
            with make_observer(f"trial {count}", method.model_dump()) as observer:
                _run_trial(study, trial, method, _Shared(setup, data, meta, params, observer))
            bar.write(f"trial {count}: {tried_of(finished_trials(study)[-1]).describe()}")
            bar.update()
    return _result(study, space)


class _Shared(NamedTuple):
    """Values that all trials of a search share, and the observer of the trial."""

    setup: Setup
    data: Data
    meta: dict[str, Any]
    params: SearchParams
    observer: Observer


def _run_trial(study: optuna.Study, trial: Trial, method: MethodParams, shared: _Shared) -> None:
    """Run one short training, and report its result to the study."""
    params, is_baseline = shared.params, BASELINE in trial.user_attrs
    trial.set_user_attr(METHOD, method.model_dump())
    network, _ = make_network(shared.setup, method, shared.data.train, shared.meta)
    baseline_curve: Curve = [] if is_baseline else finished_trials(study)[0].user_attrs[CURVE]
    reported = study.get_trials(deepcopy=False)[trial.number].intermediate_values  # before a kill
    curve: Curve = []

    def on_epoch(number: int, metrics: Metrics) -> None:
        shared.observer.metrics(metrics, step=number)
        curve.append((metrics["val_compressed"], metrics["val_raw"]))
        trial.set_user_attr(CURVE, curve)
        epochs = number + 1
        if epochs not in reported:
            trial.report(value_of(curve, baseline_curve, params.max_raw_drop), epochs)
        if epochs < params.epochs and trial.should_prune() and not is_baseline:
            raise optuna.TrialPruned

    try:
        train(network, shared.data, method, shared.setup.train, on_epoch=on_epoch)
    except (optuna.TrialPruned, DivergenceError) as error:
        if is_baseline:
            raise  # the user must change params.yaml
        trial.set_user_attr(DIVERGED, isinstance(error, DivergenceError))
        study.tell(trial, state=TrialState.PRUNED)
        return
    compressed, raw = curve[-1]
    if not is_baseline:  # a constraint holds at zero and below; the baseline has none
        baseline_compressed, baseline_raw = baseline_curve[-1]
        trial.set_constraint("clean accuracy", baseline_raw - raw - params.max_raw_drop)
        trial.set_constraint("gain", baseline_compressed + params.min_gain - compressed)
    study.tell(trial, compressed)


def value_of(curve: Curve, baseline: Curve, max_raw_drop: float) -> float:
    """Return the value by which the pruner compares trials after the last epoch of `curve`.

    It is the accuracy on compressed images, minus the loss of raw accuracy against the baseline beyond the allowed one.
    A trial that cannot win because of its raw accuracy must not end trials that can.
    """
    compressed, raw = curve[-1]
    if len(curve) > len(baseline):
        return compressed
    return compressed - max(0.0, baseline[len(curve) - 1][1] - raw - max_raw_drop)


def tried_of(trial: FrozenTrial) -> Tried:
    """Return the outcome of a finished trial."""
    attributes = trial.user_attrs
    end: Literal["trained", "pruned", "diverged"] = "trained"
    if trial.state is TrialState.PRUNED:
        end = "diverged" if attributes[DIVERGED] else "pruned"
    curve = [(compressed, raw) for compressed, raw in attributes.get(CURVE, [])]
    return Tried(MethodParams.model_validate(attributes[METHOD]), curve, end)


def _result(study: optuna.Study, space: Space) -> Result:
    finished = finished_trials(study)
    best = study.best_trial  # among feasible trials; the baseline is always feasible
    ordinal = next(index for index, trial in enumerate(finished) if trial.number == best.number)
    tried = tuple(map(tried_of, finished))
    compressed, raw = tried[ordinal].curve[-1]
    return Result(tried[ordinal].method, ordinal, compressed, raw, tried, importance_of(finished), space)


def subsample(data: Data, images: int) -> Data:
    """Return `data` with about `images` evenly spaced images of each split, without reading any."""
    train_step, val_step = data.train.step(images), data.val.step(images)
    val_views = {quality: views[::val_step] for quality, views in data.val_views.items()}
    return Data(data.train.every(train_step), data.source.every(train_step), data.val.every(val_step), val_views)
