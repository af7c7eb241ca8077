"""The Optuna study: its name, its pruner, and how it resumes after a kill.

The storage is a journal outside DVC's outs for one process, or PostgreSQL for many workers. The study's name is a
digest of everything that decides a trial's result. A trial of other data, params, code or search space is therefore
never reused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from fct.core.database import VARIABLE, without_password
from fct.core.errors import FctError, UnreachableError
from fct.core.files import digest
from fct.core.locks import shared_lock
from fct.core.paths import SEARCH_JOURNAL, SEARCH_LOCK
from fct.methods.params import MethodParams
from fct.search.attributes import BASELINE, NOT_TRAINED
from fct.search.params import Pruner, SearchParams
from fct.search.space import Space, baseline_values
from fct.search.storage import PatientStorage
from fct.search.workers import FINISHED, STARTUP_TRIALS, seed_sampler

KEPT = 3  # hyperband and successive halving continue one of this many trials at each comparison


def open_study(
    identity: dict[str, Any], params: SearchParams, *, fresh: bool, journal: Path = SEARCH_JOURNAL
) -> optuna.Study:
    """Open or create the study of `identity` in a journal, for one process. `fresh` deletes earlier trials."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    name = name_study(identity, params)
    if fresh and name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    return _create(name, params, storage)


def open_shared_study(
    url: str, identity: dict[str, Any], params: SearchParams, *, fresh: bool = False, join: bool = False
) -> tuple[optuna.Study, PatientStorage]:
    """Open or create the study of `identity` in a PostgreSQL database, for many workers.

    Args:
        url: the database, as `fct.core.database.database_url` returns it.
        identity: what decides the results of trials.
        params: the section `search`.
        fresh: delete earlier trials.
        join: only open a study that another process has created.

    Raises:
        FctError: psycopg is not installed, workers run trials that `fresh` would delete, or there is no study to join.
        UnreachableError: the database cannot be used, or there is no study to join.
    """
    name = name_study(identity, params)
    with shared_lock("search studies", SEARCH_LOCK):  # one process at a time makes tables and studies
        storage = PatientStorage(url)
        is_there = name in optuna.get_all_study_names(storage)
        if join and not is_there:
            raise UnreachableError(
                f"{VARIABLE}={without_password(url)} has no search with this commit, params.yaml and data. Start one "
                "with `fct search` or `dvc repro search`. If it runs, check that everything here is the same as there."
            )
        if fresh and is_there:
            _delete(optuna.load_study(study_name=name, storage=storage), storage)
        return _create(name, params, storage), storage


def name_study(identity: dict[str, Any], params: SearchParams) -> str:
    """Return the name of the study in which everything that decides a trial's result is that of `identity`."""
    space = params.model_dump(exclude={"trials"})  # with more trials, the study stays the same
    return f"consistency-{digest({**identity, 'search': space})}"


def _delete(study: optuna.Study, storage: PatientStorage) -> None:
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    silent = storage.silent_trials(study._study_id)  # noqa: SLF001  # Optuna has no public name for it
    if live := sum(trial._trial_id not in silent for trial in running):  # noqa: SLF001
        raise FctError(
            f"--fresh: {live} trials of this search have workers now. Stop those workers. If they were killed, wait a "
            "minute and run the same command again."
        )
    optuna.delete_study(study_name=study.study_name, storage=storage)


def _create(name: str, params: SearchParams, storage: JournalStorage | PatientStorage) -> optuna.Study:
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=make_pruner(params.pruner, params.epochs),
    )


def make_pruner(name: Pruner, epochs: int) -> BasePruner:
    """Return the pruner, which ends bad trials by their values after each of at most `epochs` epochs."""
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=KEPT)
    if name == "successive-halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=KEPT)
    if name == "median":
        return MedianPruner(n_startup_trials=STARTUP_TRIALS)
    return NopPruner()


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: those that were trained to the end or pruned during training."""
    return [trial for trial in study.get_trials(deepcopy=False, states=FINISHED) if NOT_TRAINED not in trial.user_attrs]


def next_trial(study: optuna.Study, baseline: MethodParams, params: SearchParams, space: Space) -> Trial:
    """Return the next trial of the only process: the baseline first, then suggestions of the sampler.

    The sampler's seed depends on the number of finished trials. A trial of a killed process is returned again, under
    its own number, since Hyperband groups trials by number. A study that was killed and resumed therefore makes the
    same choices as an uninterrupted one.
    """
    finished = study.get_trials(deepcopy=False, states=FINISHED)
    seed_sampler(study, params.seed, len(finished))
    if killed := study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        return Trial(study, killed[0]._trial_id)  # noqa: SLF001  # Optuna has no public name for it
    if not finished and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):  # queued before a kill
        study.enqueue_trial(baseline_values(baseline, space), user_attrs={BASELINE: True})
    return study.ask()
