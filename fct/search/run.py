"""Choose the consistency term by short trainings on validation data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError
from tqdm import tqdm

from fct.core.errors import FctError
from fct.methods.params import WITH_CONSISTENCY, MethodParams
from fct.search.params import SearchParams
from fct.search.study import finished_trials, next_trial, open_study, suggest
from fct.train.assemble import Setup, check_crops, identity, make_network, open_data
from fct.train.checkpoint import code_digest
from fct.train.loop import Data, DivergenceError, Metrics, train
from fct.train.params import TrainParams

METHOD = "method"  # attribute of a trained trial: its method
RAW = "val_raw"  # attribute of a finished trial: its raw validation accuracy
DIVERGED = "diverged"  # attribute of a pruned trial: whether its loss became infinite or not a number


class Observer(Protocol):
    """An object that records a trial's metrics."""

    def metrics(self, values: Metrics, step: int | None = None) -> None:
        """Record the metrics of one epoch."""


MakeObserver = Callable[[str, dict[str, Any]], AbstractContextManager[Observer]]  # (name, method) -> observer


class Best(NamedTuple):
    """The result of the search."""

    method: MethodParams
    trial: int  # 0 is the baseline
    compressed: float | None  # mean validation accuracy over the trained qualities, after a trial's epochs
    raw: float | None


def tried_methods(train: TrainParams, baseline: MethodParams, params: SearchParams) -> list[MethodParams]:
    """Return the methods that the search tries, one for each of `params.targets`; none if there is no search.

    Raises:
        FctError: one of `params.targets` does not fit the other values of params.yaml.
    """
    if baseline.name not in WITH_CONSISTENCY or params.trials == 1:
        return []
    methods = []
    for target in params.targets:
        try:
            method = MethodParams.model_validate(baseline.model_dump() | {"target": target})
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise FctError(f"params.yaml: search.targets: with {target}, method.{message}") from error
        check_crops(train, method, "search.targets")
        methods.append(method)
    return methods


def search(
    setup: Setup, baseline: MethodParams, params: SearchParams, make_observer: MakeObserver, *, fresh: bool
) -> Best:
    """Return the best method of `params.trials` short trainings. The first of them is `baseline`.

    The best trial has the highest mean validation accuracy over the trained qualities. It must beat the baseline by
    `params.min_gain`, since short trainings are noisy, and its raw accuracy must be at most `params.max_raw_drop` below
    the baseline's. If there is no such trial, the baseline is the best. A trial ends early if it is behind the baseline
    after an epoch. Trials in the study are not run again.

    Raises:
        FctError: the baseline diverges, or one of `params.targets` does not fit the other values of params.yaml.
    """
    if baseline.name not in WITH_CONSISTENCY or params.trials == 1:
        return Best(baseline, 0, None, None)
    tried = tried_methods(setup.train, baseline, params)
    with_teacher = next((method for method in tried if method.needs_teacher_file), baseline)
    data, meta = open_data(setup)
    data = _subsample(data, params.images)
    setup = setup._replace(train=setup.train.model_copy(update={"epochs": params.epochs}))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study_identity = identity(setup, baseline, meta) | {"teacher": identity(setup, with_teacher, meta)["teacher"]}
    versions = {"code": code_digest("search"), "torch": torch.__version__}
    study = open_study(study_identity | versions, params, fresh=fresh)
    with tqdm(
        total=params.trials, initial=len(finished_trials(study)), desc="search", unit="trial", disable=None
    ) as bar:
        while len(finished := finished_trials(study)) < params.trials:
            trial = next_trial(study, baseline, params)
            suggestion = suggest(trial, baseline, params)
            if suggestion is None:
                study.tell(trial, state=TrialState.PRUNED)
                continue
            with make_observer(f"trial {len(finished)}", suggestion.model_dump()) as observer:
                _run_trial(study, trial, suggestion, _Shared(setup, data, meta, params, observer))
            bar.write(f"trial {len(finished)}: {_describe(finished_trials(study)[-1])}")
            bar.update()
    return _best(study)


class _Shared(NamedTuple):
    """Values that all trials of a search share, and the observer of the trial."""

    setup: Setup
    data: Data
    meta: dict[str, Any]
    params: SearchParams
    observer: Observer


def _run_trial(study: optuna.Study, trial: Trial, method: MethodParams, shared: _Shared) -> None:
    """Run one short training, and report its result to the study."""
    trial.set_user_attr(METHOD, method.model_dump())
    network, _ = make_network(shared.setup, method, shared.data.train, shared.meta)
    baseline = next(iter(finished_trials(study)), None)  # the first trial
    baseline_accuracies = baseline.intermediate_values if baseline else {}

    def on_epoch(number: int, metrics: Metrics) -> None:
        shared.observer.metrics(metrics, step=number)
        trial.report(metrics["val_compressed"], number)
        if metrics["val_compressed"] < baseline_accuracies.get(number, 0.0):
            raise optuna.TrialPruned

    try:
        history = train(network, shared.data, method, shared.setup.train, on_epoch=on_epoch)
    except (optuna.TrialPruned, DivergenceError) as error:
        if baseline is None:
            raise  # the user must change params.yaml
        trial.set_user_attr(DIVERGED, isinstance(error, DivergenceError))
        study.tell(trial, state=TrialState.PRUNED)
        return
    compressed, raw = history[-1]["val_compressed"], history[-1]["val_raw"]
    trial.set_user_attr(RAW, raw)
    if baseline:  # a constraint holds at zero and below; the baseline has none
        trial.set_constraint("clean accuracy", baseline.user_attrs[RAW] - raw - shared.params.max_raw_drop)
        trial.set_constraint("gain", (baseline.value or 0.0) + shared.params.min_gain - compressed)
    study.tell(trial, compressed)


def _describe(trial: FrozenTrial) -> str:
    """Return a trial's method and its scores as one line."""
    method = trial.user_attrs[METHOD]
    tried = f"weight {method['weight']:.3g}, {method['distance']}, {method['target']}, {' '.join(method['layers'])}"
    if RAW in trial.user_attrs:
        return f"accuracy {trial.value:.4f} on compressed images, {trial.user_attrs[RAW]:.4f} on raw ones ({tried})"
    if trial.user_attrs.get(DIVERGED):
        return f"diverged ({tried})"
    epoch, accuracy = max(trial.intermediate_values.items())
    return f"ended after epoch {epoch + 1}: accuracy {accuracy:.4f} on compressed images is behind trial 0 ({tried})"


def _best(study: optuna.Study) -> Best:
    best = study.best_trial  # among feasible trials; the baseline is always feasible
    ordinal = next(index for index, trial in enumerate(finished_trials(study)) if trial.number == best.number)
    return Best(MethodParams.model_validate(best.user_attrs[METHOD]), ordinal, best.value, best.user_attrs[RAW])


def _subsample(data: Data, images: int) -> Data:
    """Return `data` with about `images` evenly spaced images of each split, without reading any."""
    train_step, val_step = data.train.step(images), data.val.step(images)
    val_views = {quality: views[::val_step] for quality, views in data.val_views.items()}
    return Data(data.train.every(train_step), data.source.every(train_step), data.val.every(val_step), val_views)
