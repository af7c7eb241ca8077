"""Short trainings that choose the consistency term on validation data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import optuna
import torch
from optuna.trial import Trial, TrialState
from pydantic import ValidationError
from tqdm import tqdm

from fct.core.errors import FctError
from fct.methods.params import WITH_CONSISTENCY, MethodParams
from fct.search.params import SearchParams
from fct.search.study import finished_trials, next_trial, open_study, suggest
from fct.train.assemble import Setup, check_crops, identity, make_network, open_data
from fct.train.checkpoint import code_digest
from fct.train.loop import Data, DivergenceError, Metrics, train

METHOD = "method"  # attribute of a trained trial: what it tried
RAW = "val_raw"  # attribute of a finished trial: its clean validation accuracy


class Observer(Protocol):
    """Something that takes a trial's metrics."""

    def metrics(self, values: Metrics, step: int | None = None) -> None:
        """Take the metrics of one epoch."""


Observed = Callable[[str, dict[str, Any]], AbstractContextManager[Observer]]  # (name, what is tried) -> observer


class Best(NamedTuple):
    """What the search found."""

    method: MethodParams
    trial: int  # 0 is the baseline
    compressed: float | None  # its mean validation accuracy over the trained qualities, after a trial's few epochs
    raw: float | None


def search(setup: Setup, baseline: MethodParams, params: SearchParams, observed: Observed, *, fresh: bool) -> Best:
    """Return the best method among `params.trials` short trainings, of which `baseline` is the first.

    Best means the highest mean validation accuracy over the trained qualities, among those that beat the baseline's by
    `params.min_gain` (short trainings are noisy) and whose clean accuracy is at most `params.max_raw_drop` below the
    baseline's; where there are none, the baseline. A trial that is behind the baseline after an epoch ends there.
    Trials already in the study are not run again.

    Raises:
        FctError: the baseline diverges, or one of `params.targets` cannot be tried with what params.yaml has besides.
    """
    if baseline.name not in WITH_CONSISTENCY or params.trials == 1:
        return Best(baseline, 0, None, None)
    taught = baseline
    for target in params.targets:
        try:
            tried = MethodParams.model_validate(baseline.model_dump() | {"target": target})
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise FctError(f"params.yaml: search.targets: with {target}, method.{said}") from error
        check_crops(setup.train, tried, "search.targets")
        taught = tried if tried.needs_teacher_file else taught
    data, meta = open_data(setup)
    data = _thinned(data, params.images)
    setup = setup._replace(train=setup.train.model_copy(update={"epochs": params.epochs}))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = identity(setup, baseline, meta) | {"teacher": identity(setup, taught, meta)["teacher"]}
    made_by = {"code": code_digest("search"), "torch": torch.__version__}
    study = open_study(known | made_by, params, fresh=fresh)
    with tqdm(
        total=params.trials, initial=len(finished_trials(study)), desc="search", unit="trial", disable=None
    ) as bar:
        while len(done := finished_trials(study)) < params.trials:
            trial = next_trial(study, baseline, params)
            method = suggest(trial, baseline, params)
            if method is None:
                study.tell(trial, state=TrialState.PRUNED)
                continue
            with observed(f"trial {len(done)}", method.model_dump()) as observer:
                _run(study, trial, method, _Short(setup, data, meta, params, observer))
            bar.update()
    return _best(study)


class _Short(NamedTuple):
    """What all trials of a search share."""

    setup: Setup
    data: Data
    meta: dict[str, Any]
    params: SearchParams
    observer: Observer


def _run(study: optuna.Study, trial: Trial, method: MethodParams, short: _Short) -> None:
    """Train once, briefly, and tell the study how it went."""
    trial.set_user_attr(METHOD, method.model_dump())
    network, _ = make_network(short.setup, method, short.data.train, short.meta)
    baseline = next(iter(finished_trials(study)), None)  # which comes first
    pace = baseline.intermediate_values if baseline else {}

    def on_epoch(number: int, metrics: Metrics) -> None:
        short.observer.metrics(metrics, step=number)
        trial.report(metrics["val_compressed"], number)
        if metrics["val_compressed"] < pace.get(number, 0.0):
            raise optuna.TrialPruned

    try:
        history = train(network, short.data, method, short.setup.train, on_epoch=on_epoch)
    except (optuna.TrialPruned, DivergenceError):
        if baseline is None:
            raise  # params.yaml itself must change
        study.tell(trial, state=TrialState.PRUNED)
        return
    compressed, raw = history[-1]["val_compressed"], history[-1]["val_raw"]
    trial.set_user_attr(RAW, raw)
    if baseline:  # feasible at zero and below; the baseline itself always is
        trial.set_constraint("clean accuracy", baseline.user_attrs[RAW] - raw - short.params.max_raw_drop)
        trial.set_constraint("gain", (baseline.value or 0.0) + short.params.min_gain - compressed)
    study.tell(trial, compressed)


def _best(study: optuna.Study) -> Best:
    best = study.best_trial  # among the feasible, of which the baseline is always one
    ordinal = next(index for index, trial in enumerate(finished_trials(study)) if trial.number == best.number)
    return Best(MethodParams.model_validate(best.user_attrs[METHOD]), ordinal, best.value, best.user_attrs[RAW])


def _thinned(data: Data, images: int) -> Data:
    """Return `data` with about `images` images of each split, evenly spread; nothing is read."""
    train, val = data.train.step(images), data.val.step(images)
    val_views = {quality: views[::val] for quality, views in data.val_views.items()}
    return Data(data.train.every(train), data.source.every(train), data.val.every(val), val_views)
