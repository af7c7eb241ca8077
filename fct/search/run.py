"""Choose the consistency term by short trainings on validation data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any, Literal, NamedTuple, NoReturn, Protocol

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from fct.core.database import database_url
from fct.core.errors import UnreachableError
from fct.methods.params import MethodParams
from fct.search.attributes import BASELINE, CURVE, DIVERGED, METHOD, NOT_TRAINED, TRACKED
from fct.search.importance import importance_of
from fct.search.params import SearchParams
from fct.search.space import Space, baseline_values, is_searched, make_space, searched_methods, suggest
from fct.search.storage import PatientStorage
from fct.search.study import finished_trials, next_trial, open_shared_study, open_study
from fct.search.workers import FINISHED, Plan, tell, work
from fct.train.assemble import Setup, identity, make_network, open_data
from fct.train.checkpoint import code_digest
from fct.train.loop import Data, DivergenceError, Metrics, train

Curve = list[tuple[float, float]]  # (compressed, raw) validation accuracy after each epoch


class Observer(Protocol):
    """An object that records a trial's metrics."""

    @property
    def id(self) -> str:
        """Return where they are recorded, for whoever finds this process dead."""

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


class Search:
    """A search that is ready to run trials: its study, its space, and what all trials share."""

    def __init__(  # noqa: PLR0913  # independent parts
        self,
        setup: Setup,
        baseline: MethodParams,
        params: SearchParams,
        make_observer: MakeObserver,
        *,
        fresh: bool = False,
        join: bool = False,
    ) -> None:
        """Open the data and the study: in PostgreSQL if FCT_DATABASE_URL is set, else in a journal.

        Args:
            setup: all else that decides a training.
            baseline: the method of params.yaml, for which `is_searched`.
            params: the section `search`.
            make_observer: opens an observer of one trial.
            fresh: delete the trials of earlier runs.
            join: only open a study that another process has created.

        Raises:
            FctError: the search space does not fit the other values of params.yaml, the database cannot be used, or
                there is no study to join.
        """
        data, meta = open_data(setup)
        self.params, self.baseline, self.make_observer = params, baseline, make_observer
        self.space = make_space(setup.model, setup.train, baseline, params, meta)
        methods = searched_methods(setup.train, baseline, params)
        with_teacher = next((method for method in methods if method.needs_teacher_file), baseline)
        self.data, self.meta = subsample(data, params.images), meta
        self.setup = setup._replace(train=setup.train.model_copy(update={"epochs": params.epochs}))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        same = identity(self.setup, baseline, meta)
        same |= {"teacher": identity(self.setup, with_teacher, meta)["teacher"]}
        same |= {"code": code_digest("search"), "torch": torch.__version__}
        url = database_url()
        self.storage: PatientStorage | None = None
        if url is None:
            self.study = open_study(same, params, fresh=fresh)
        else:
            self.study, self.storage = open_shared_study(url, same, params, fresh=fresh, join=join)

    def run_trials(
        self, *, on_reaped: Callable[[FrozenTrial], object] = lambda _trial: None, show_progress: bool = True
    ) -> None:
        """Run trials until there are `params.trials`, with all other workers of the study if it is in PostgreSQL.

        Args:
            on_reaped: called for each trial whose worker this one has found dead.
            show_progress: whether a terminal has a progress bar.

        Raises:
            FctError: the baseline diverges, or a teacher does not fit.
        """
        with self.progress(show=show_progress) as bar:
            if self.storage is not None:
                plan = Plan(self.params.trials, self.params.seed, baseline_values(self.baseline, self.space))
                work(self.study, self.storage, plan, lambda trial: self._run(trial, bar), on_reaped=on_reaped)
                return
            while len(finished_trials(self.study)) < self.params.trials:
                self._run(next_trial(self.study, self.baseline, self.params, self.space), bar)

    def progress(self, *, show: bool = True) -> tqdm[NoReturn]:
        """Return a progress bar of the trials, for terminals alone."""
        done, disable = len(finished_trials(self.study)), None if show else True
        return tqdm(total=self.params.trials, initial=done, desc="search", unit="trial", disable=disable)

    def show(self, bar: tqdm[NoReturn]) -> None:
        """Show how many trials are finished."""
        bar.update(len(finished_trials(self.study)) - bar.n)

    def track(self, run: str) -> None:
        """Say below which run in MLflow the workers of all hosts record their trials."""
        self.study.set_user_attr(TRACKED, run)

    def tracked(self) -> str:
        """Return the run below which this worker records its trials.

        Raises:
            UnreachableError: the process that opened the search has not said it yet.
        """
        run = self.study.user_attrs.get(TRACKED)
        if run is None:
            raise UnreachableError("the search is just being opened. Run the same command again.")
        return str(run)

    def result(self) -> Result:
        """Return the result of the finished trials."""
        return _result(self.study, self.space)

    def close(self) -> None:
        """Close the connections to the database."""
        if self.storage is not None:
            self.storage.engine.dispose()

    def _run(self, trial: Trial, bar: tqdm[NoReturn]) -> None:
        """Run one trial, and show it."""
        ordinal = _ordinal(self.study, trial)
        method = suggest(trial, self.baseline, self.space)
        if method is None:
            trial.set_user_attr(NOT_TRAINED, value=True)
            self._tell(trial, pruned=True)
            return
        with self.make_observer(f"trial {ordinal}", method.model_dump()) as observer:
            if self.storage is not None:
                trial.set_user_attr(TRACKED, observer.id)
            self._train(trial, method, observer)
        ended = next(one for one in finished_trials(self.study) if one.number == trial.number)
        bar.write(f"trial {ordinal}: {tried_of(ended).describe()}")
        bar.update(len(finished_trials(self.study)) - bar.n)

    def _train(self, trial: Trial, method: MethodParams, observer: Observer) -> None:
        """Run one short training, and report its result to the study."""
        params, is_baseline = self.params, BASELINE in trial.user_attrs
        trial.set_user_attr(METHOD, method.model_dump())
        network, _ = make_network(self.setup, method, self.data.train, self.meta)
        baseline_curve: Curve = [] if is_baseline else _baseline_curve(self.study)
        reported = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values  # before a kill
        curve: Curve = []

        def on_epoch(number: int, metrics: Metrics) -> None:
            observer.metrics(metrics, step=number)
            curve.append((metrics["val_compressed"], metrics["val_raw"]))
            trial.set_user_attr(CURVE, curve)
            epochs = number + 1
            if epochs not in reported:
                trial.report(value_of(curve, baseline_curve, params.max_raw_drop), epochs)
            if epochs < params.epochs and trial.should_prune() and not is_baseline:
                raise optuna.TrialPruned

        try:
            train(network, self.data, method, self.setup.train, on_epoch=on_epoch)
        except (optuna.TrialPruned, DivergenceError) as error:
            if is_baseline:
                raise  # the user must change params.yaml
            trial.set_user_attr(DIVERGED, isinstance(error, DivergenceError))
            self._tell(trial, pruned=True)
            return
        compressed, raw = curve[-1]
        if not is_baseline:  # a constraint holds at zero and below; the baseline has none
            baseline_compressed, baseline_raw = baseline_curve[-1]
            trial.set_constraint("clean accuracy", baseline_raw - raw - params.max_raw_drop)
            trial.set_constraint("gain", baseline_compressed + params.min_gain - compressed)
        self._tell(trial, compressed)

    def _tell(self, trial: Trial, value: float | None = None, *, pruned: bool = False) -> None:
        if self.storage is not None:
            tell(self.study, self.storage, trial, value, pruned=pruned)
        else:
            self.study.tell(trial, value, state=TrialState.PRUNED if pruned else None)


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
        return without_search(baseline)
    with closing(Search(setup, baseline, params, make_observer, fresh=fresh)) as one:
        one.run_trials()
        return one.result()


def without_search(baseline: MethodParams) -> Result:
    """Return the result if there is nothing to search."""
    return Result(baseline, 0, None, None)


def _ordinal(study: optuna.Study, trial: Trial) -> int:
    """Return the number of trials before this one that count."""
    counting = (*FINISHED, TrialState.RUNNING)
    trials = study.get_trials(deepcopy=False, states=counting)
    return sum(one.number < trial.number and NOT_TRAINED not in one.user_attrs for one in trials)


def _baseline_curve(study: optuna.Study) -> Curve:
    baseline = next(trial for trial in finished_trials(study) if BASELINE in trial.user_attrs)
    curve: Curve = baseline.user_attrs[CURVE]
    return curve


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
