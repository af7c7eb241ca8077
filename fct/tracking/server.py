"""Connects to the tracking server, or raises an error within seconds; silences its messages."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fct.core.errors import FctError, UnreachableError
from fct.core.os_errors import FULL, describe_os_error
from fct.tracking import content, location
from fct.tracking.faults import diagnose
from fct.tracking.proxy import never_proxy_loopback

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "fct"
PATIENCE = 5  # seconds to wait for the first answer
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "1",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Server:
    """A tracking server that has answered, and the experiment on it."""

    uri: str
    client: Any  # mlflow.MlflowClient
    experiment: str  # its id

    @property
    def shown_uri(self) -> str:
        """Return the address without its password."""
        return without_password(self.uri)

    def has_run(self, run: str) -> bool:
        """Return whether there is a run with this id."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.get_run(run)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True


def connect() -> Server:
    """Return the server that the environment names, with its experiment. Create the experiment if it is missing.

    Raises:
        FctError: the server does not answer within seconds, or refuses.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    never_proxy_loopback()
    database = location.database_of(uri)
    if database:
        location.check_name(database)
    _check_connection(uri)
    with translate_errors(uri), silence_mlflow(), _fail_fast():
        from mlflow import MlflowClient

        # It would print tracebacks of errors that users see as an `FctError`.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        client = MlflowClient(uri)
        experiment = _experiment(client, name, database)
    if database:
        location.check(database, experiment.artifact_location)
    return Server(uri, client, str(experiment.experiment_id))


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Turn errors of MLflow into an `FctError`."""
    try:
        yield
    except Exception as error:
        from mlflow.exceptions import MlflowException

        if isinstance(error, OSError) and error.errno in FULL:  # while a file was attached to a run
            raise FctError(describe_os_error(error)) from error
        if not isinstance(error, MlflowException):
            raise
        raise _refused(uri, error) from error


def _refused(uri: str, reason: BaseException) -> FctError:
    fault = diagnose(reason)
    kind = UnreachableError if fault.temporary else FctError
    message = (
        f"MLFLOW_TRACKING_URI={uri}: the tracking server cannot be used: {fault.problem}. "
        f"Start it or check the address; unset MLFLOW_TRACKING_URI to track in {DEFAULT_URI}."
    )
    password = urlsplit(uri).password  # which the reason may show with another path
    shown = message.replace(uri, without_password(uri))
    return kind(shown.replace(f":{password}@", ":***@") if password else shown)


def without_password(uri: str) -> str:
    """Return an address that may be shown. One with a slash in its password is no URL, and must not show it either."""
    scheme, separator, rest = uri.partition("://")
    account, at, place = rest.rpartition("@")
    user, colon, _ = account.partition(":")
    return f"{scheme}://{user}:***@{place}" if separator and at and colon else uri


def _experiment(client: Any, name: str, database: Path | None) -> Any:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            # Files are beside the database, even if the first run is in a temporary clone.
            beside = database and database.parent != Path.cwd()
            place = str(database.parent / location.FOLDER / content.mlflow_key(name)) if database and beside else None
            return client.get_experiment(client.create_experiment(name, artifact_location=place))
        except MlflowException:  # another process was faster, or the server refuses
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise FctError(
            f"MLFLOW_EXPERIMENT_NAME={name}: this experiment is deleted. Restore it with `mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}` or choose another name."
        )
    return experiment


def _check_connection(uri: str) -> None:
    """Try to connect to a database, since MLflow would retry for minutes. MLflow itself handles HTTP servers well."""
    try:
        if path := location.database_of(uri):
            if not path.parent.is_dir():  # perhaps mistyped: it is not made
                raise FctError(
                    f"MLFLOW_TRACKING_URI={uri}: the folder {path.parent} does not exist. Create it, or correct the "
                    "path."
                )
            with closing(
                sqlite3.connect(path, timeout=20)
            ) as database:  # seconds, the time that MLflow waits for a lock
                database.executescript("BEGIN IMMEDIATE; PRAGMA schema_version; ROLLBACK")
            return
        address = urlsplit(uri)
        port = address.port or PORTS.get(address.scheme.partition("+")[0])
        if address.hostname and port and not address.scheme.startswith("http"):
            socket.create_connection((address.hostname, port), timeout=PATIENCE).close()
    except (OSError, ValueError, sqlite3.Error) as error:
        raise _refused(uri, error) from None


@contextmanager
def _fail_fast() -> Iterator[None]:
    """Allow one attempt of `PATIENCE` seconds in this block. Later, a long training needs MLflow's retries."""
    settings = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    before = {variable: os.environ.get(variable) for variable in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


@contextmanager
def silence_mlflow() -> Iterator[None]:
    """Silence the warnings of MLflow's import, which are meant for its developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
