"""Who gets which trial, when many workers search one study. What a trial is, is told by the caller.

A worker asks for its next trial in a turn: it alone counts the trials and asks Optuna for one. So the budget is kept
exactly. Each trial draws from its own seed, so no two of them are equal. While the trial runs, a thread writes signs of
life into the database. A trial whose worker is silent is reaped by another worker in its turn: it fails, and its values
are queued for a new trial. If the silent worker answers after all, its answer is refused.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from fct.core.errors import FctError
from fct.core.files import digest
from fct.core.locks import shared_lock
from fct.core.paths import SEARCH_LOCK
from fct.search.attributes import ATTEMPTS, BASELINE, NOT_TRAINED, WORKER
from fct.search.storage import PatientStorage, storage_errors

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTUP_TRIALS = 4  # random trials before the sampler has learnt anything
MOST_ATTEMPTS = 3  # workers that may die with the same values
LONGEST_TURN = 30.0  # seconds
POLL = 5.0  # seconds between two looks of a worker without a trial
FAREWELL = 5.0  # seconds that a worker which is being ended waits for a database that is away

RunTrial = Callable[[Trial], object]  # trains, and tells the study the result
OnReaped = Callable[[FrozenTrial], object]


@dataclass(frozen=True)
class Plan:
    """How many trials there are, and how they draw."""

    trials: int  # that are trained, to the end or until they are pruned
    seed: int
    first: Mapping[str, Any]  # the values of the first trial. Others begin when it is finished
    poll: float = POLL


@dataclass(frozen=True)
class Turn:
    """The outcome of one turn of a worker."""

    trial: Trial | None = None
    is_finished: bool = False
    reaped: Sequence[FrozenTrial] = ()


def work(
    study: optuna.Study,
    storage: PatientStorage,
    plan: Plan,
    run_trial: RunTrial,
    *,
    on_reaped: OnReaped = lambda _trial: None,
) -> None:
    """Run trials until the plan's number is finished, by this worker and others.

    Args:
        study: of `storage`.
        storage: the database.
        plan: the same for all workers.
        run_trial: runs one trial and tells the study its result. If it raises an error, the trial is queued again, and
            the error ends this worker.
        on_reaped: called for each trial whose worker this one has found dead.

    Raises:
        FctError: workers died again and again with the first trial.
        UnreachableError: the database was away for too long.
    """
    for trial in _claims(study, storage, plan, on_reaped):
        with signs_of_life(storage, trial):
            try:
                run_trial(trial)
            except UpdateFinishedTrialError:
                print(f"trial number {trial.number} was given to another worker, as this one was silent: not counted")
            except BaseException:
                with suppress(Exception):  # the first error is the one to report
                    storage.patience = FAREWELL
                    release(study, storage, storage.get_trial(trial._trial_id))  # noqa: SLF001  # no public name
                raise


def tell(
    study: optuna.Study, storage: PatientStorage, trial: Trial, value: float | None = None, *, pruned: bool = False
) -> None:
    """Tell the study the result of a trial.

    Raises:
        UpdateFinishedTrialError: another worker has reaped the trial.
    """
    try:
        study.tell(trial, value, state=TrialState.PRUNED if pruned else None)
    except ValueError as error:  # Optuna's answer about a finished trial, if it sees it before it writes
        if storage.get_trial(trial._trial_id).state is TrialState.FAIL:  # noqa: SLF001
            raise UpdateFinishedTrialError(str(error)) from error
        raise


def release(study: optuna.Study, storage: PatientStorage, trial: FrozenTrial) -> bool:
    """Fail a running trial, and queue its values again unless workers die with them. Return whether it was running."""
    try:
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)  # noqa: SLF001
    except UpdateFinishedTrialError:
        return False
    attempts = trial.user_attrs.get(ATTEMPTS, 0) + 1
    values = trial.system_attrs.get("fixed_params", {}) | trial.params
    if values and attempts < MOST_ATTEMPTS:
        marks = {BASELINE: True} if BASELINE in trial.user_attrs else {}
        study.enqueue_trial(values, user_attrs={ATTEMPTS: attempts, **marks})
    return True


def seed_sampler(study: optuna.Study, seed: int, number: int) -> None:
    """Let the sampler draw the values of the trial with this number."""
    study.sampler = optuna.samplers.TPESampler(
        seed=int(digest([seed, number]), 16) % 2**32, n_startup_trials=STARTUP_TRIALS
    )


@contextmanager
def signs_of_life(storage: PatientStorage, trial: Trial) -> Iterator[None]:
    """Write signs of life of a trial from a thread. The first one was written in the turn."""
    stop = threading.Event()

    def beat() -> None:
        delay = storage.heartbeat_interval or 1
        while not stop.wait(delay):
            try:
                storage.record_heartbeat(trial._trial_id)  # noqa: SLF001
                delay = storage.heartbeat_interval or 1
            except storage_errors():  # the database is away, or the trial was deleted: the training finds out
                delay = 1

    thread = threading.Thread(target=beat, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=1)  # a sign that hangs in a broken connection must not hold up the worker


def _claims(study: optuna.Study, storage: PatientStorage, plan: Plan, on_reaped: OnReaped) -> Iterator[Trial]:
    """Yield this worker's trials, until no trial is left to run or to wait for."""
    study.get_trials(deepcopy=False)  # the first look takes longest: not in a turn, for which others wait
    while True:
        turn = storage.patiently(lambda: _take_turn(study, storage, plan))
        for trial in turn.reaped:
            on_reaped(trial)
        if turn.is_finished:
            return
        if turn.trial is None:
            time.sleep(plan.poll)
            continue
        seed_sampler(study, plan.seed, turn.trial.number)
        yield turn.trial


def _take_turn(study: optuna.Study, storage: PatientStorage, plan: Plan) -> Turn:
    """Reap, count and ask, while no other worker does."""
    with shared_lock(f"search {study.study_name}", SEARCH_LOCK, longest=LONGEST_TURN) as lock:
        trials = study.get_trials(deepcopy=False)
        if reaped := _reap(study, storage, trials):
            trials = study.get_trials(deepcopy=False)
        finished = [trial for trial in trials if trial.state in FINISHED and NOT_TRAINED not in trial.user_attrs]
        if len(finished) >= plan.trials:
            return Turn(is_finished=True, reaped=reaped)
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        if not any(BASELINE in trial.user_attrs for trial in finished):
            if running:
                return Turn(reaped=reaped)
            _queue_first(study, plan, trials)
        if len(finished) + len(running) >= plan.trials:
            return Turn(reaped=reaped)
        trial = study.ask()
        storage.record_heartbeat(trial._trial_id)  # noqa: SLF001
        try:
            trial.set_user_attr(WORKER, f"{platform.node()}:{os.getpid()}")
        except UpdateFinishedTrialError:  # the database freed the lock, and the next worker has reaped the trial
            return Turn(reaped=reaped)
        try:
            lock.check()
        except FctError:  # another worker may have counted at the same time
            release(study, storage, storage.get_trial(trial._trial_id))  # noqa: SLF001
            raise
        return Turn(trial, reaped=reaped)


def _reap(study: optuna.Study, storage: PatientStorage, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Release the running trials whose workers are dead: silent, or ended within their turn."""
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    silent = storage.silent_trials(study._study_id) if running else set()  # noqa: SLF001
    dead = [
        trial
        for trial in running
        if WORKER not in trial.user_attrs or trial._trial_id in silent  # noqa: SLF001
    ]
    return [trial for trial in dead if release(study, storage, trial)]


def _queue_first(study: optuna.Study, plan: Plan, trials: Sequence[FrozenTrial]) -> None:
    """Queue the first trial, unless it is in the queue.

    Raises:
        FctError: too many workers died with it.
    """
    firsts = [trial for trial in trials if BASELINE in trial.user_attrs]
    if any(trial.state is TrialState.WAITING for trial in firsts):
        return
    if len(firsts) >= MOST_ATTEMPTS:
        raise FctError(
            f"the first trial of the search, which is the method of params.yaml, ended {len(firsts)} times before it "
            "had a result. Look for the reason in the workers' messages, such as too little memory, and then run "
            "`fct search --fresh`."
        )
    study.enqueue_trial(dict(plan.first), user_attrs={BASELINE: True})
