"""Optuna's storage on PostgreSQL, for workers on many hosts. It waits while the database is away."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from fct.core.database import connect, connect_arguments, import_psycopg, sqlalchemy_url, unreachable
from fct.core.errors import UnreachableError

BEAT = 10  # seconds between two signs of life of a trial
GRACE = 45  # seconds without one, after which the trial's worker is dead; below the 60 s of a short outage
PATIENCE = 600.0  # seconds that a worker waits for a database that is away
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds between two attempts
OPERATIONS = (  # of RDBStorage, each one transaction that may be repeated
    *("create_new_study", "delete_study", "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name"),
    *("get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs"),
    *("get_all_studies", "_create_new_trial", "_set_trial_param", "get_trial_id_from_study_id_trial_number"),
    *("_get_best_trial_id", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr"),
    *("get_trial", "_get_trials", "_get_stale_trial_ids"),
)

Answer = TypeVar("Answer")


class GaveUpError(UnreachableError):
    """The database was away for longer than the patience."""


class PatientStorage(RDBStorage):
    """A storage whose operations are repeated until the database answers again.

    Each operation is one transaction. A repeated one may have been committed before: then it writes the same again,
    except for `_create_new_trial`. The trial that it leaves has no worker, and the next turn reaps it.
    """

    def __init__(self, url: str, *, beat: int = BEAT, grace: int = GRACE, patience: float = PATIENCE) -> None:
        """Connect to the database and make its tables if there are none. Do this in a turn of one process.

        The database must be there. Only if it is lost after the first answer, it is waited for.

        Raises:
            FctError: psycopg is not installed.
            UnreachableError: the database cannot be used.
        """
        connect(url).close()
        self.shared_url, self.patience, self.last_failure = url, patience, -float("inf")
        arguments: dict[str, Any] = {**connect_arguments(), "options": "-c timezone=UTC"}
        # Two threads use it: the training's and that of the signs of life.
        engine = {"pool_size": 2, "max_overflow": 2, "connect_args": arguments}
        try:
            self.patiently(lambda: RDBStorage.__init__(self, sqlalchemy_url(url), engine))
        except SQLAlchemyError as error:
            raise unreachable(url, error.__cause__ or error) from error
        self.heartbeat_interval, self.grace_period, self.grace = beat, grace, grace

    def get_heartbeat_interval(self) -> None:
        """Return None: Optuna's own signs of life need `Study.optimize`. Those of this project are in `workers`."""

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set the state of a trial, once. After a lost answer, recognise that it was set."""
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if attempts > 1 and self.get_trial(trial_id).state is state is not TrialState.FAIL:
                    return True  # by the first attempt: nobody else completes this trial
                raise

        return self.patiently(attempt)

    def patiently(self, operation: Callable[[], Answer]) -> Answer:
        """Repeat an operation until the database answers.

        Raises:
            GaveUpError: it did not within the patience.
        """
        began, delay = time.monotonic(), FIRST_DELAY
        while True:
            try:
                return operation()
            except Exception as error:
                if isinstance(error, GaveUpError) or not is_away(error):
                    raise
                self.last_failure = time.monotonic()
                if self.last_failure - began > self.patience:
                    raise GaveUpError(str(unreachable(self.shared_url, error.__cause__ or error))) from error
            time.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # so that not all workers come back at once
            delay = min(2 * delay, LONGEST_DELAY)

    def silent_trials(self, study_id: int) -> set[int]:
        """Return the ids of running trials whose workers gave no sign of life for longer than the grace.

        While the database was away, nobody could give one. There are therefore none soon after its start, nor soon
        after this process lost it.
        """
        if time.monotonic() - self.last_failure < self.grace:
            return set()
        silent = set(self._get_stale_trial_ids(study_id))
        if not silent:
            return silent
        has_run = self.patiently(self._has_run_for_the_grace)
        return silent if has_run else set()

    def _has_run_for_the_grace(self) -> bool:
        with self.engine.connect() as connection:
            query = text("SELECT now() - pg_postmaster_start_time() > make_interval(secs => :grace)")
            return bool(connection.execute(query, {"grace": self.grace}).scalar())


def _patient(name: str) -> Callable[..., Any]:
    operation = getattr(RDBStorage, name)

    @wraps(operation)
    def run(self: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return self.patiently(lambda: operation(self, *arguments, **named))

    return run


for _name in OPERATIONS:
    setattr(PatientStorage, _name, _patient(_name))


def is_away(error: BaseException) -> bool:
    """Return whether an error says that the database does not answer now, and not that the request was wrong."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    lost = (OperationalError, InterfaceError, DisconnectionError, PendingRollbackError, UnreachableError)
    return isinstance(error, (*lost, import_psycopg().OperationalError))


def storage_errors() -> tuple[type[Exception], ...]:
    """Return what operations of a storage raise."""
    return (optuna.exceptions.OptunaError, SQLAlchemyError, import_psycopg().Error)
